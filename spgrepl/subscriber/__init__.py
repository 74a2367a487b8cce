"""Receiving the tables of some publications."""

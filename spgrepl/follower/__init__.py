"""Receiving all of a master's log, and keeping an exact copy."""

"""Bytes on the wire to values and back: no I/O, no reactor."""

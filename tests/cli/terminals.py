"""Terminals of tests."""

from __future__ import annotations

import os
from contextlib import suppress


def everything(terminal: int) -> str:
    """What was written to a terminal that no writer has open any more: it comes in pieces, then EIO."""
    found = b""
    with suppress(OSError):
        while piece := os.read(terminal, 100_000):
            found += piece
    return found.decode()

"""How far a statement is, told on a terminal."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from spgrepl.text.quantities import number_of

_EVERY = 0.25
_AFTER = 1.0


class Progress:
    """Shows how many rows a statement has changed, where that takes long; nothing where nobody looks.

    Args:
        stream: Where it is shown; only on a terminal.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        # Closed streams are None.
        self._stream: TextIO | None = sys.stderr if stream is None else stream
        self._next = time.monotonic() + _AFTER
        self._shown = 0

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return self._stream is not None and self._stream.isatty()

    def __call__(self, changes: int) -> None:
        """Show a number of rows, unless one was shown a moment ago."""
        now = time.monotonic()
        if changes and now >= self._next:
            self._next = now + _EVERY
            text = f"{number_of(changes, 'row', form=',')} changed"
            self._write(f"\r{text:<{self._shown}}")
            self._shown = len(text)

    def clear(self) -> None:
        """Take back what was shown; the next statement shows something after a while of its own."""
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
        self._shown = 0
        self._next = time.monotonic() + _AFTER

    def _write(self, text: str) -> None:
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()

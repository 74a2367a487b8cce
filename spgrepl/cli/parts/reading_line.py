"""How far a command has come: a line that changes on a terminal, and now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from spgrepl.text.quantities import number_of
from spgrepl.text.shown import shown_left, shown_seconds

AFTER = 2.0
"""What is done sooner says nothing."""

_EVERY_LIVE = 0.25
_EVERY_PLAIN = 10.0
_CLEAR = "\r\x1b[K"


class ReadingLine:
    """Tells bytes, rows, rate and the time that is left, on standard error.

    Args:
        total: How many bytes there are to read.
        stream: Where it is told.
        clock: Tells the time in seconds.
    """

    def __init__(
        self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        # Closed streams are None.
        self._stream: TextIO | None = sys.stderr if stream is None else stream
        self._live = self._stream is not None and self._stream.isatty()
        self._total = total
        self._clock = clock
        self._began = clock()
        self._next = self._began + AFTER
        self._shown = False

    def __call__(self, done: int, rows: int | None = None, note: str = "") -> None:
        """Tell how far it is, unless that was told just now.

        Args:
            done: How many bytes were read.
            rows: How many rows there were in them; None where nothing is known of rows.
            note: What is being read.
        """
        self._tell(lambda seconds: self._text(done, rows, note, seconds))

    def waiting(self, note: str) -> None:
        """Tell for how long something has run of which nobody knows how far it is.

        Args:
            note: What is done, and with how much.
        """
        self._tell(lambda seconds: f"{note}: {shown_seconds(seconds)} so far")

    def _tell(self, text: Callable[[float], str]) -> None:
        now = self._clock()
        if now < self._next or self._stream is None:
            return
        self._next = now + (_EVERY_LIVE if self._live else _EVERY_PLAIN)
        said = text(now - self._began)
        self._stream.write(f"{_CLEAR}{said}" if self._live else f"{said}\n")
        self._stream.flush()
        self._shown = self._live

    def _text(self, done: int, rows: int | None, note: str, seconds: float) -> str:
        seconds = max(seconds, 1e-3)
        read, whole = self._share(done)
        parts = [f"{read * 100 // max(whole, 1):3d} %"]
        if self._total or rows is None:
            parts += [f"{done / 1e6:,.0f} of {self._total / 1e6:,.0f} MB", f"{done / seconds / 1e6:,.1f} MB/s"]
        if rows is not None:
            parts += [number_of(rows, "row", form=","), f"{rows / seconds:,.0f} rows/s"]
        if read:
            parts.append(shown_left(read, whole, seconds))
        return "  ".join([*parts, note] if note else parts)

    def _share(self, done: int) -> tuple[int, int]:
        """How much of how much is done."""
        return done, self._total

    def clear(self) -> None:
        """Take the line away, for what is printed next."""
        if self._shown and self._stream is not None:
            self._stream.write(_CLEAR)
            self._stream.flush()
            self._shown = False


class RowsLine(ReadingLine):
    """Tells the same where rows are counted: the bytes are the share of the whole that they make up.

    Args:
        total: How many bytes all rows have together; 0 where nobody knows, as of a server: then only rows count.
    """

    _rows = (0, 0)

    def tell(self, rows: int, of: int, table: str) -> None:
        """Take how many rows of how many were read, and the table that is being read."""
        self._rows = (rows, of)
        self(self._total * rows // max(of, 1), rows, f"table {table}")

    def _share(self, done: int) -> tuple[int, int]:
        return self._rows

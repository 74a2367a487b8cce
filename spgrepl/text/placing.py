"""How far the rows of a snapshot are in place: told where the work is done, shown by who has it done.

What is done with a snapshot once it is here lies deep below those who are asked for the status: in engines, in
copies of whole databases, in a server's COPY. Each of them says what it does (`PlacingStep`); whoever had a
`PlacingBoard` run the call sees the newest word, in any thread. Where nobody looks, nothing is told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from time import monotonic
from typing import Any, ParamSpec, TypeVar

import attrs

from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger
from spgrepl.text.shown import shown_left, shown_seconds

_P = ParamSpec("_P")
_R = TypeVar("_R")

STEPS = {
    "digest": "its digest is compared",
    "check": "it is checked",
    "convert": "it is made a SQLite database",
    "copy": "rows are copied",
    "index": "indexes are made",
    "replace": "the copy before is replaced",
    "commit": "it is committed",
}
"""What is done with a snapshot, one after another, and how a log says it; not every copy does each of them."""

AFTER, EVERY = 2.0, 10.0
"""Seconds after which the log says for the first time how far it is, and between two times."""

_ENOUGH = 0.01
"""From this share on the size of all is estimated by that of what is done."""

_log = RoleLogger()


@attrs.frozen(kw_only=True)
class Placing:
    """How far one step has come; what is not known is None.

    Attributes:
        step: One of `STEPS`.
        began: When it began, on the clock.
        table: The table that it is at.
        rows: How many rows are done, of all tables.
        rows_total: How many there are.
        bytes: How many bytes are done.
        bytes_total: How many there are.
    """

    step: str
    began: float
    table: str | None = None
    rows: int | None = None
    rows_total: int | None = None
    bytes: int | None = None
    bytes_total: int | None = None

    @property
    def share(self) -> float | None:
        """How much of it is done, between 0 and 1."""
        for done, total in ((self.rows, self.rows_total), (self.bytes, self.bytes_total)):
            if done is not None and total:
                return min(1.0, done / total)
        return None

    @property
    def estimated_bytes(self) -> int | None:
        """How many bytes there will be: as stated, or by the share that is done."""
        share = self.share
        if self.bytes_total is not None or not self.bytes or share is None or share < _ENOUGH:
            return self.bytes_total
        return round(self.bytes / share)

    def as_values(self, now: float) -> dict[str, object]:
        """What the status shows.

        Args:
            now: The time, on the same clock.
        """
        seconds, share = max(0.0, now - self.began), self.share
        left = None if not share else seconds * (1 - share) / share
        return {
            "step": self.step,
            "table": self.table,
            "rows": self.rows,
            "rows_total": self.rows_total,
            "bytes": self.bytes,
            "bytes_total": self.estimated_bytes,
            "share": None if share is None else round(share, 4),
            "bytes_per_second": None if self.bytes is None or not seconds else round(self.bytes / seconds),
            "seconds": round(seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
        }

    def sentence(self, now: float) -> str:
        """The same as a log says it: bytes, rows, rate, time left."""
        seconds, share, total = max(1e-3, now - self.began), self.share, self.estimated_bytes
        parts = [STEPS[self.step]]
        if self.table is not None:
            parts.append(f"table {self.table}")
        if self.rows is not None:
            all_rows = "" if self.rows_total is None else number_of(self.rows_total, "row", form=",")
            parts.append(f"{self.rows:,} of {all_rows}" if all_rows else number_of(self.rows, "row", form=","))
            parts.append(f"{self.rows / seconds:,.0f} rows/s")
        if self.bytes is not None:
            about = "" if self.bytes_total is not None else "about "
            of = "" if total is None else f" of {about}{total / 1e6:.0f}"
            parts.append(f"{self.bytes / 1e6:.0f}{of} MB")
            parts.append(f"{self.bytes / seconds / 1e6:.1f} MB/s")
        parts.append(shown_left(share, 1, seconds) if share else f"for {shown_seconds(seconds)}")
        return ", ".join(parts)


class PlacingBoard:
    """Where the newest word of what is done with one snapshot can be read, in any thread.

    Args:
        length: How many bytes the snapshot has.
        clock: A clock that is not set.

    Attributes:
        latest: The newest word; None before the first, and when all is done.
    """

    def __init__(self, length: int, clock: Callable[[], float] = monotonic) -> None:
        self._length = length
        self.clock = clock
        self.latest: Placing | None = None

    def run(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call something, in this thread, with all that it tells told here."""
        token = _board.set(self)
        try:
            return function(*args, **kwargs)
        finally:
            _board.reset(token)
            self.latest = None

    def as_values(self) -> dict[str, Any]:
        """What the status shows of a snapshot that is here, all of it."""
        return snapshot_values(self._length, self._length, self)


_board: ContextVar[PlacingBoard | None] = ContextVar("spgrepl_placing", default=None)


def snapshot_values(received: int, length: int, board: PlacingBoard | None = None) -> dict[str, Any]:
    """What the status shows of a snapshot.

    Args:
        received: How many bytes have come.
        length: How many will.
        board: What is done with it; None while it comes.
    """
    latest = None if board is None else board.latest
    placing = None if board is None or latest is None else latest.as_values(board.clock())
    return {"received": received, "length": length, "placing": placing}


class PlacingStep:
    """One step of putting a snapshot in place, which is told as it goes on.

    It is told once when it begins, so that a step is seen of which nothing more is known. The log hears of it
    where it takes long.

    Args:
        name: One of `STEPS`.
        rows_total: How many rows there are; None where that is not known.
        bytes_total: How many bytes.
    """

    def __init__(self, name: str, rows_total: int | None = None, bytes_total: int | None = None) -> None:
        self._board = _board.get()
        if self._board is not None:
            now = self._board.clock()
            self._next = now + AFTER
            self._placing = Placing(step=name, began=now, rows_total=rows_total, bytes_total=bytes_total)
            self._board.latest = self._placing

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return self._board is not None

    def tell(self, **known: Any) -> None:
        """Say how far it is.

        Args:
            **known: Fields of `Placing`, those that have changed.
        """
        board = self._board
        if board is None:
            return
        placing = board.latest = self._placing = attrs.evolve(self._placing, **known)
        now = board.clock()
        if now >= self._next:
            self._next = now + EVERY
            _log.info("the snapshot is put in place: {placing}", placing=placing.sentence(now))

"""Whose positions these are: the histories that a log shares, and how positions of one are counted in another.

A primary's log is a history. Its id is that of the pair of database and log (`spgrepl.pairs.pair`), which is made
once and goes wherever the database goes: into snapshots, and from there to copies at any distance. A log that
begins at the snapshot of a copy counts from there on, so the same byte has another position in each log of a
chain. What a copy knows of that is a list of `History`: by how much the positions of each are ahead of those that
count here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import attrs

from spgrepl.base.results import HISTORY_PATTERN, Position
from spgrepl.errors import DifferentHistory

_ID = re.compile(HISTORY_PATTERN)

MOST_HISTORIES = 1000
"""So many histories a database knows at most; nobody promotes as often."""

_BEYOND = 2**62  # no file is as long


@attrs.frozen
class History:
    """A history of which a log, or a copy, holds all or a part.

    Attributes:
        id: Its id, 32 hexadecimal digits.
        offset: By how many bytes its positions are ahead of those that count here.
        stop: The last of its positions that is shared; None where all are.
    """

    id: str
    offset: int = 0
    stop: int | None = None


@attrs.frozen
class Histories:
    """All that is known of whose positions count here; nothing where an SPG server or an old version made a copy.

    Attributes:
        known: The histories, first the one in which positions are given at present.
    """

    known: tuple[History, ...] = ()

    @property
    def current(self) -> str | None:
        """The id of the history in which positions are given at present; None where none is known."""
        return self.known[0].id if self.known else None

    def place(self, position: int, where: str) -> int:
        """Say which position here a position is.

        Args:
            position: A position. One that names no history counts here; so does any where nothing is known.
            where: What stands here, for the error.

        Raises:
            DifferentHistory: Its history is not held here, or only a part of it that ends before.
        """
        history = position.history if isinstance(position, Position) else None
        if history is None or not self.known:
            return int(position)
        shared = [one for one in self.known if one.id == history]
        for one in shared:
            if one.stop is None or position <= one.stop:
                return max(0, int(position) - one.offset)
        if shared:
            last = max(one.stop or 0 for one in shared)
            raise DifferentHistory(
                f"position {int(position)} of history {history} is not held by {where}: that history ends at "
                f"{last} here, where another one followed on it. What was written after that was lost"
            )
        raise DifferentHistory(
            f"position {int(position)} is of history {history}, and {where} holds history {self.current}: ask a "
            f"copy of the database that gave the position"
        )

    def name(self, position: int, history: str) -> Position:
        """Say which position of a history that is held a position here is: its last that is shared, at most."""
        one = next(one for one in self.known if one.id == history)
        there = position + one.offset
        return Position(there if one.stop is None else min(there, one.stop), history=history)


def served(pair: str | None, base: int, known: Iterable[History], *, at_head: bool) -> tuple[History, ...]:
    """The histories as those see them who get a log.

    Args:
        pair: The id of the log's own pair.
        base: The position at which the log begins, in the way in which its database counts; 0 for a primary's.
        known: The histories that the database knows.
        at_head: Whether it is a primary's log, in which positions are given.

    Returns:
        The same, counted in the log, and the log's own.
    """
    moved = shifted(known, base)
    own = (History(pair),) if pair is not None and _ID.fullmatch(pair) else ()
    return own + moved if at_head else moved + own


def shifted(known: Iterable[History], by: int) -> tuple[History, ...]:
    """Histories as those see them who count a byte `by` bytes lower."""
    return tuple(attrs.evolve(one, offset=one.offset + by) for one in known)


def encode_histories(known: Iterable[History]) -> str:
    """Histories as JSON: a list of id, offset and stop of each."""
    return json.dumps([[one.id, one.offset, one.stop] for one in known], separators=(",", ":"))


def decode_histories(text: str | None) -> tuple[History, ...]:
    """Read what `encode_histories` wrote; None stands for none.

    Raises:
        TypeError, ValueError: It is something else.
    """
    return () if text is None else histories_of(json.loads(text))


def histories_of(values: Iterable[Iterable[object]]) -> tuple[History, ...]:
    """Read histories as they stand in JSON: id, offset and stop of each.

    Raises:
        TypeError, ValueError: They are something else.
    """
    found: list[History] = []
    for id_, offset, stop in values:
        numbers_fit = all(isinstance(one, int) and abs(one) < _BEYOND for one in (offset, stop or 0))
        if not (isinstance(id_, str) and _ID.fullmatch(id_) and numbers_fit) or len(found) >= MOST_HISTORIES:
            raise ValueError(f"a history {id_!r}, {offset!r}, {stop!r}")
        found.append(History(id_, offset, stop))  # type: ignore[arg-type]
    return tuple(found)


def histories_values(known: Iterable[History]) -> list[list[object]]:
    """Histories as they stand in JSON; `histories_of` reads them."""
    return [[one.id, one.offset, one.stop] for one in known]

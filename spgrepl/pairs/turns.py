"""Turns: the records that say in a log where one history ends and the next one begins.

A promotion writes one. Its SQL is a comment, so whoever knows nothing of it does nothing. Copies note it in the
transaction that applies it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

from spgrepl.base.histories import History
from spgrepl.base.results import HISTORY_PATTERN
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import encode_v2
from spgrepl.text.role_log import RoleLogger

TURN_HEAD = b"/* spgrepl: history "
"""What the SQL of every such record begins with."""

_BEFORE = re.compile(rf"({HISTORY_PATTERN}) to (\d{{1,20}})")
_TURN = re.compile(
    rf"/\* spgrepl: history ({HISTORY_PATTERN}) begins at position (\d{{1,20}})"
    rf"(?:, after ({HISTORY_PATTERN} to \d{{1,20}}(?:, {HISTORY_PATTERN} to \d{{1,20}})*))? \*/"
)


@attrs.frozen
class Turn:
    """A history that begins in a log.

    Attributes:
        id: Its id.
        position: Where its record starts, as it counts itself.
        before: The histories that end there: of each its id, and the last of its positions that is shared.
    """

    id: str
    position: int
    before: tuple[tuple[str, int], ...] = ()

    def encode(self) -> bytes:
        """The record."""
        text = f"{TURN_HEAD.decode()}{self.id} begins at position {self.position}"
        if self.before:
            text += ", after " + ", ".join(f"{id_} to {stop}" for id_, stop in self.before)
        return encode_v2(f"{text} */".encode())

    def take(self, known: Iterable[History], start: int) -> tuple[History, ...]:
        """What is known of whose positions count in a log after this turn.

        Args:
            known: What was known before.
            start: Where the record starts there.
        """
        stops = dict(self.before)
        left = [
            attrs.evolve(one, stop=stops[one.id]) if one.id in stops and one.stop is None else one
            for one in known
            if one.id != self.id
        ]
        return (History(self.id, self.position - start), *left)


def read_turn(sql: bytes) -> Turn | None:
    """Read the SQL of a record; None where it is not that of a turn."""
    if not sql.startswith(TURN_HEAD):
        return None
    found = _TURN.fullmatch(sql.decode("utf-8", "replace"))
    if found is None:
        return None
    before = tuple((one[1], int(one[2])) for one in _BEFORE.finditer(found[3] or ""))
    return Turn(found[1], int(found[2]), before)


class PendingTurns:
    """The turns that have come and are not applied yet."""

    _log = RoleLogger()

    def __init__(self) -> None:
        self._found: list[tuple[int, Turn]] = []

    def clear(self) -> None:
        """Forget them: they come again."""
        self._found.clear()

    def note(self, batch: RecordBatch) -> None:
        """Look for turns among records, which follow those of the last call."""
        for index in batch.special:
            sql = batch.sql[index]
            turn = None if sql is None else read_turn(sql)
            if turn is not None:
                self._found.append((batch.start_of(index), turn))

    def taken(self, known: tuple[History, ...], position: int) -> tuple[History, ...]:
        """What is known of whose positions count, once everything up to a position is applied."""
        while self._found and self._found[0][0] < position:
            start, turn = self._found.pop(0)
            self._log.info("history {id} begins at position {position}", id=turn.id, position=start)
            known = turn.take(known, start)
        return known

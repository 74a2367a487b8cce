"""What an SPG server's log asks for beside its statements: the time, what the snapshot held, and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from spgrepl.engines.postgresql.approximating import approximated
from spgrepl.engines.postgresql.statement_meanings import Refused
from spgrepl.postgresql.tables import TableBook
from spgrepl.text.role_log import RoleLogger

# A row that breaks a constraint between rows; a table, an index or a column that is there.
_OF_OWN = frozenset({"23505", "23503", "42P07", "42701", "42710"})
_NAMED = 20
_OF_SESSIONS = ""
"""What is kept under this name, where a table's stands else, is what sessions of the master have set."""

Clock = Callable[[int], "int | None"]


@attrs.frozen
class Told:
    """What holds for the statements that come next.

    Attributes:
        clock: Knows the time at the master of each, by its index.
        may_be_held: Whether the snapshot may hold them already.
    """

    clock: Clock = lambda _index: None
    may_be_held: bool = False


class SpgLog:
    """What is known of an SPG server's log beside its statements.

    Args:
        approximate: Whether values that every replica computes for itself are approximated.

    Attributes:
        told: What holds for the statements that come next.
    """

    _log = RoleLogger()

    def __init__(self, approximate: bool = False) -> None:
        self._approximate = approximate
        self.told = Told()
        self._stored: Counter[tuple[str, str]] = Counter()
        self._pending: Counter[tuple[str, str]] = Counter()
        self._skipped: Counter[str] = Counter()
        self._met = self._named = 0

    # -- statements -------------------------------------------------------------------------------------------

    def readable(self, connection: Any, tables: TableBook, text: str, number: int) -> str:
        """A statement on rows, with what stands for values that every replica computes for itself.

        Raises:
            Refused: They may not be approximated, or this cannot be; or the time at the master is not known.
        """
        if not self._approximate:
            return text
        done = approximated(connection, tables, text, lambda: self._now(number))
        self._pending.update(done.what)
        return done.text

    def leave_out(self, table: str, what: str) -> None:
        """Do without something that the master did beside a statement.

        Args:
            table: The table.
            what: What it is.

        Raises:
            Refused: That is not allowed.
        """
        if not self._approximate:
            raise Refused(f"{what} (--nondeterministic approximate does without it)")
        self._pending[table, what.partition(" runs ")[0]] += 1

    @property
    def approximate(self) -> bool:
        """Whether values that every replica computes for itself are approximated."""
        return self._approximate

    def _now(self, number: int) -> int:
        found = self.told.clock(number)
        if found is None:
            raise Refused("what time it was at the master is not known yet: it has not sent a STATUS")
        return found

    def set_zone(self, zone: str) -> None:
        """A session of the master has set a time zone that is not UTC; which statements are its is not known."""
        if self.zone is None:
            self._pending[_OF_SESSIONS, zone] = 1

    @property
    def zone(self) -> str | None:
        """The first time zone but UTC that a session of the master has set; None for none."""
        return next((what for table, what in (*self._stored, *self._pending) if table == _OF_SESSIONS), None)

    def skip(self, kind: str) -> None:
        """Count a statement that has no effect on rows."""
        self._skipped[kind] += 1

    def holds(self, error: Exception) -> bool:
        """Whether a statement was refused with this error because the snapshot holds it; it is counted then."""
        if not self.told.may_be_held or getattr(error, "sqlstate", None) not in _OF_OWN:
            return False
        self._met += 1
        if self._named < _NAMED:
            self._named += 1
            self._log.warn(
                "a statement of the log is in the snapshot already, and is skipped: {error}",
                error=str(error).split("\n")[0],
            )
        return True

    def take_met(self) -> int:
        """How many statements the snapshot held already, since this was asked for the last time."""
        met, self._met = self._met, 0
        return met

    # -- counts -----------------------------------------------------------------------------------------------

    def counts(self) -> list[list[object]]:
        """What is to be stored with the rows: table, what was approximated there, and how often."""
        return [[*key, count] for key, count in sorted((self._stored + self._pending).items())]

    def load(self, counts: list[list[Any]]) -> None:
        """Go on counting from what was stored."""
        self._stored = Counter({(str(table), str(what)): int(count) for table, what, count in counts})
        self._pending.clear()

    def mark(self) -> tuple[Counter[tuple[str, str]], Counter[str]]:
        """What has been counted so far."""
        return self._pending.copy(), self._skipped.copy()

    def back_to(self, mark: tuple[Counter[tuple[str, str]], Counter[str]]) -> None:
        """What was counted since is counted again."""
        self._pending, self._skipped = mark

    def committed(self) -> None:
        """What `counts` gave is durable."""
        self._stored.update(self._pending)
        self._pending.clear()

    def undone(self) -> None:
        """The transaction was rolled back."""
        self._pending.clear()
        self._met = 0

    def as_values(self) -> Mapping[str, object]:
        """For the status: what was skipped, by kind; what was approximated, by table and what."""
        found: dict[str, dict[str, int]] = {}
        for (table, what), count in sorted(self._stored.items()):
            if table == _OF_SESSIONS:
                continue
            found.setdefault(table, {})[what] = count
        return {"skipped": dict(sorted(self._skipped.items())), "approximated": found}

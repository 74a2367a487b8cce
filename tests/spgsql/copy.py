"""A copy of an SPG server's tables in memory, for statements of its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import pytest

from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.replay import Nondeterministic, SpgReplay
from spgrepl.spgsql.typed.schema import Schema

NOW = 1_700_000_000_000_000
NOW_TEXT = "2023-11-14 22:13:20"


class Copy:
    """A database, and what runs statements on it."""

    def __init__(self, policy: Nondeterministic = Nondeterministic.STOP) -> None:
        self.connection = apsw.Connection(":memory:")
        self.connection.execute("PRAGMA foreign_keys = ON")
        Schema(self.connection).ensure()
        self.replay = SpgReplay(self.connection, policy, self._run)
        self.replay.tell_clock(lambda _: NOW)

    def keep(self, kind: str, name: str, definition: object) -> None:
        """Have something in the side table, as a snapshot leaves it."""
        Schema(self.connection).keep_object(kind, name, definition)
        self.replay = SpgReplay(self.connection, Nondeterministic.STOP, self._run)

    def _run(self, sql: str, values: Sequence[object]) -> list[Any]:
        return self.connection.execute(sql, tuple(values)).fetchall()  # type: ignore[arg-type]

    def run(self, *statements: str, dialect: Dialect = Dialect.POSTGRESQL) -> None:
        """Run statements of a log."""
        for number, statement in enumerate(statements):
            self.replay.execute(statement, number, dialect)

    def stop(self, statement: str, reason: str, dialect: Dialect = Dialect.POSTGRESQL) -> None:
        """A statement stops replay, with a reason."""
        with pytest.raises(StatementStopped, match=reason):
            self.replay.execute(statement, 0, dialect)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return self.connection.execute(sql).fetchall()

    def values(self, sql: str) -> list[Any]:
        """The first column of what a query finds."""
        return [row[0] for row in self.rows(sql)]

    def counts(self) -> Any:
        """What the status shows, once that is committed."""
        self.replay.store()
        self.replay.committed()
        return self.replay.as_values()

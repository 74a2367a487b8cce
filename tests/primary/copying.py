"""A primary's writer for tests, and the copy that its log makes."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from spgrepl.engines.sqlite_session import prepare_session
from spgrepl.errors import SpgReplError
from spgrepl.files import DatabasePaths
from spgrepl.primary.session import Request
from spgrepl.primary.writer import DatabaseWriter, Written
from spgrepl.wal.reader import iterate_records

EARLY = 1_700_000_000.123
"""When the clocks of these tests begin: 2023-11-14 22:13:20.123 in UTC."""


class Writer(DatabaseWriter):
    """A writer whose clock moves on by an hour with each look, with short words for tests."""

    def __init__(self, paths: DatabasePaths) -> None:
        ticks = itertools.count()
        super().__init__(paths, clock=lambda: EARLY + 3600 * next(ticks))
        self.paths = paths

    def execute(self, sql: str) -> Written:
        """Run one statement; raise what it is refused with."""
        return self._only(Request((sql,)))

    def transaction(self, *statements: str) -> Written:
        """Run several statements, all or none."""
        return self._only(Request(statements, transaction=True))

    def _only(self, request: Request) -> Written:
        (answer,) = self.run([request])
        if isinstance(answer, SpgReplError):
            raise answer
        return answer

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Read the database with a connection that knows nothing of spgrepl."""
        with closing(sqlite3.connect(self.paths.database)) as connection:
            return connection.execute(sql).fetchall()

    def logged(self) -> list[str]:
        """The statements of the log."""
        return logged(self.paths.wal)


def logged(wal: Path) -> list[str]:
    """The statements of a log."""
    return [sql.decode() for batch in iterate_records(wal) for sql in batch.sql if sql is not None]


@contextmanager
def opened(folder: Path, *statements: str) -> Iterator[Writer]:
    """A writer of a new database in a folder, with some statements run."""
    writer = Writer(DatabasePaths.of(folder / "primary.db"))
    writer.open()
    try:
        for sql in statements:
            writer.execute(sql)
        yield writer
    finally:
        writer.close()


def copy_of(wal: Path) -> sqlite3.Connection:
    """A database to which nothing but the log was applied, on a plain connection of SQLite."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare_session(connection)
    for sql in logged(wal):
        connection.execute(sql)
    return connection


def content(connection: sqlite3.Connection) -> dict[str, object]:
    """The schema and the rows of all tables of users."""
    found: dict[str, object] = {}
    # Bytes as they are: text need not be UTF-8.
    connection.text_factory = bytes
    schema = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'spgrepl%' ORDER BY 1, 2"
    for row in connection.execute(schema).fetchall():
        kind, name, sql = (None if value is None else value.decode() for value in row)
        found[f"{kind} {name}"] = sql
        if kind == "table" and not name.startswith("sqlite_"):
            rows = connection.execute(f'SELECT * FROM "{name}"').fetchall()
            found[f"rows of {name}"] = sorted(rows, key=repr)
    return found


def assert_same_on_copy(writer: Writer) -> None:
    """The log alone makes the same database."""
    with closing(copy_of(writer.paths.wal)) as copy, closing(sqlite3.connect(writer.paths.database)) as original:
        assert content(copy) == content(original)


def only(values: Sequence[tuple[object, ...]]) -> object:
    """The one value of one row."""
    ((value,),) = values
    return value

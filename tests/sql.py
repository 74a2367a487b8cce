"""Python's `sqlite3` as tests write it, on APSW: for databases that a part of this process has open.

Two copies of SQLite in one process do not see each other's locks, and a file that one of them closes loses those
of the other. Where no other part has a file open, the standard library's module is the second opinion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import apsw

Error = apsw.Error
DatabaseError = apsw.Error
OperationalError = apsw.Error
IntegrityError = apsw.ConstraintError


class Connection:
    """A connection that commits each statement by itself, unless BEGIN was said."""

    def __init__(self, database: str | Path, timeout: float = 5.0) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        self.apsw = apsw.Connection(str(database), flags=flags)
        self.apsw.set_busy_timeout(int(timeout * 1000))

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run a statement, to its end where it gives no rows."""
        return self.apsw.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any]) -> Any:
        """Run a statement for many rows."""
        return self.apsw.executemany(sql, list(parameters))

    def executescript(self, sql: str) -> Any:
        """Run some statements."""
        return self.apsw.execute(sql).fetchall()

    def commit(self) -> None:
        """Nothing waits, unless BEGIN was said."""
        if self.apsw.in_transaction:
            self.apsw.execute("COMMIT")

    @property
    def in_transaction(self) -> bool:
        """Whether BEGIN was said."""
        return self.apsw.in_transaction

    def iterdump(self) -> Iterator[str]:
        """The schema and all rows."""
        query = "SELECT name, sql FROM sqlite_master ORDER BY type, name"
        for name, sql in self.apsw.execute(query).fetchall():
            yield str(sql)
            if sql and str(sql).startswith("CREATE TABLE"):
                quoted = '"' + str(name).replace('"', '""') + '"'
                yield from map(repr, self.apsw.execute(f"SELECT * FROM {quoted}").fetchall())

    def close(self) -> None:
        """Close it."""
        self.apsw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.commit()


def connect(
    database: str | Path, timeout: float = 5.0, isolation_level: None = None, uri: bool = True
) -> Connection:
    """Open a database."""
    return Connection(database, timeout)

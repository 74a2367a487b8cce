"""What the tables of spgrepl's own are read and written with: a connection of APSW, or of Python's sqlite3.

The databases that replicate are opened with APSW. Tests, and programs that only look, may come with the standard
library's module: for one statement at a time, with its values bound, both are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class SqlCursor(Protocol):
    """The rows of a statement that was run."""

    def fetchone(self) -> Any:
        """The next row; None where there is no more."""

    def fetchall(self) -> list[Any]:
        """All rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """The rows that are left, one by one."""


class SqlConnection(Protocol):
    """A connection to a SQLite database."""

    def execute(self, sql: str, parameters: Any = ..., /) -> SqlCursor:
        """Run one statement, with values for its parameters by place.

        Raises:
            apsw.Error: It is refused; of a connection of the standard library, `sqlite3.Error`.
        """

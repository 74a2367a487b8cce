"""Which columns of a table are its key, as its database has it now."""

from __future__ import annotations

from pathlib import Path

import apsw

from spgrepl.errors import EngineFailed
from spgrepl.sqlite.session import plain_connection
from spgrepl.text.sqltext import fold_ascii

_COLUMNS = "SELECT name, pk FROM pragma_table_xinfo(?)"
_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_MOST_TABLES = 10_000


class TableKeys:
    """Knows the keys of tables. Blocking; for one thread at a time.

    Args:
        database: The database; None where there is none to ask.
    """

    def __init__(self, database: Path | None) -> None:
        self._database = database
        self._connection: apsw.Connection | None = None
        self._version = -1
        self._keys: dict[str, tuple[str, ...] | None] = {}

    def refresh(self) -> None:
        """Forget what was known, where the schema has changed since.

        Raises:
            EngineFailed: The database cannot be read.
        """
        if self._database is None or not self._database.exists():
            return
        try:
            if self._connection is None:
                self._connection = plain_connection(self._database, read_only=True)
            version = self._connection.pragma("schema_version")
        except apsw.NotADBError:
            # An engine that keeps something else there.
            self.close()
            self._database = None
            return
        except apsw.Error as error:
            raise self._unreadable(error) from error
        if version != self._version or len(self._keys) > _MOST_TABLES:
            self._version = version
            self._keys.clear()

    def of_insert(self, table: str, columns: tuple[str, ...]) -> tuple[str, ...]:
        """The key of a row that was inserted.

        Args:
            table: The table.
            columns: The columns that the row has.

        Returns:
            Its names, in the key's order; none where they are not known, or the row does not have them all.

        Raises:
            EngineFailed: The database cannot be read.
        """
        if table not in self._keys:
            self._keys[table] = self._read(table)
        key = self._keys[table]
        if key is None:
            # What is not a column of a table without a key is the number of its row.
            return tuple(name for name in columns if name in _ROW_NUMBERS)[:1]
        return key if set(key) <= set(columns) else ()

    def _read(self, table: str) -> tuple[str, ...] | None:
        """The key of a table; None where the table is not known, and empty where nothing names its rows."""
        if self._connection is None:
            return None
        try:
            found = self._connection.execute(_COLUMNS, (table,)).fetchall()
        except apsw.Error as error:
            raise self._unreadable(error) from error
        if not found:
            return None
        numbered = sorted((int(pk), str(name)) for name, pk in found if pk)
        if numbered:
            return tuple(name for _, name in numbered)
        taken = {fold_ascii(str(name)) for name, _ in found}
        return next(((name,) for name in _ROW_NUMBERS if name not in taken), ())

    def close(self) -> None:
        """Close the database; it is opened again when it is needed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._version = -1
        self._keys.clear()

    def _unreadable(self, error: apsw.Error) -> EngineFailed:
        return EngineFailed(f"the keys of the tables in {self._database} cannot be read: {error}")

"""The tables of one database as a comparison reads them: what they look like, ranges of keys, checksums, rows."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import apsw
import attrs

from spgrepl.errors import UsageError
from spgrepl.rows.values import RawText
from spgrepl.sqlite.compared_rows import count_rows
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import fold_ascii, quote_name

ROWS_IN_A_RANGE = 5000
_GENERATED = frozenset({2, 3})
_AT_ONCE = 500

Key = tuple[Any, ...]
Row = tuple[Any, ...]


@attrs.frozen
class Layout:
    """What of a table is compared, and how its rows are told apart.

    Attributes:
        name: The table.
        key: The columns that name a row: its primary key, or its row number.
        columns: All columns with values of their own, the row number among them where it is the key.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def divisible(self) -> bool:
        """Whether ranges of its keys can be asked for."""
        return bool(self.key)


@attrs.frozen
class KeyRange:
    """Rows whose key is above one and not above another; None for no limit."""

    above: Key | None = None
    last: Key | None = None


class TableReader(ABC):
    """Reads the tables of one database, all as of one moment. Blocking."""

    @abstractmethod
    def layouts(self) -> dict[str, Layout]:
        """What there is to compare, by the name of the table."""

    @abstractmethod
    def count(self, layout: Layout) -> int:
        """How many rows a table has."""

    @abstractmethod
    def cut(self, layout: Layout, within: KeyRange) -> Key | None:
        """The key of the last of the first `ROWS_IN_A_RANGE` rows of a range; None where there are no more."""

    @abstractmethod
    def sum(self, layout: Layout, one: KeyRange) -> tuple[int, bytes]:
        """How many rows a range has, and a checksum of them, types and order included."""

    @abstractmethod
    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """Rows as the database has them: each text as bytes, and after each value its type."""


class SqliteReader(TableReader):
    """Reads the tables of a SQLite database.

    Args:
        connection: The database, in a transaction that sees one moment.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def layouts(self) -> dict[str, Layout]:
        """See `TableReader`."""
        listed = self._connection.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')"
        )
        return {
            name: layout_of(self._connection, name)
            for name in [str(found) for (found,) in listed.fetchall()]
            if not fold_ascii(name).startswith((OWN_PREFIX, "sqlite_"))
        }

    def count(self, layout: Layout) -> int:
        """See `TableReader`."""
        return count_rows(self._connection, layout.name)

    def cut(self, layout: Layout, within: KeyRange) -> Key | None:
        """See `TableReader`."""
        where, bound = _where(layout, within)
        query = (
            f"SELECT {_values(layout.key)} FROM {quote_name(layout.name)}{where} "
            f"ORDER BY {_order(layout)} LIMIT 1 OFFSET {ROWS_IN_A_RANGE - 1}"
        )
        row = self._connection.execute(query, bound).fetchone()
        found = None if row is None else values_of(row)
        return None if found == within.last else found

    def sum(self, layout: Layout, one: KeyRange) -> tuple[int, bytes]:
        """See `TableReader`."""
        summed, count = hashlib.blake2b(digest_size=16), 0
        for batch in self.read(layout, one):
            count += len(batch)
            summed.update(repr(batch).encode())
        return count, summed.digest()

    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """See `TableReader`."""
        most = self._connection.limit(apsw.SQLITE_LIMIT_COLUMN) // 2
        if len(layout.columns) > most:
            raise UsageError(
                f"table {layout.name} has {len(layout.columns)} columns: tables of at most {most} can be compared "
                f"in ranges of keys; compare the two files as they are, without --pinned"
            )
        where, bound = _where(layout, one)
        order = f" ORDER BY {_order(layout)}" if layout.key else ""
        query = f"SELECT {_values(layout.columns)} FROM {quote_name(layout.name)}{where}{order}"
        cursor = iter(self._connection.execute(query, bound))
        while batch := [row for _, row in zip(range(_AT_ONCE), cursor, strict=False)]:
            yield batch


def values_of(row: Row) -> Row:
    """A row's values, of what was read."""
    return tuple(
        _text(value) if kind == "text" else value for value, kind in zip(row[::2], row[1::2], strict=True)
    )


def _text(value: bytes) -> str | RawText:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return RawText(value)


def _values(columns: Sequence[str]) -> str:
    return ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name})"
        for name in map(quote_name, columns)
    )


def _order(layout: Layout) -> str:
    return ", ".join(f"{quote_name(name)} COLLATE BINARY" for name in layout.key)


def _where(layout: Layout, one: KeyRange) -> tuple[str, tuple[Any, ...]]:
    parts: list[str] = []
    bound: list[Any] = []
    for sign, key in ((">", one.above), ("<=", one.last)):
        if key is not None:
            # Text that is not UTF-8 is handed over as bytes.
            marks = ("CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in key)
            parts.append(f"({_order(layout)}) {sign} ({', '.join(marks)})")
            bound += [value.content if isinstance(value, RawText) else value for value in key]
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), tuple(bound)


def layout_of(connection: apsw.Connection, table: str) -> Layout:
    """Look at a table.

    A primary key that may be NULL names no row: then all rows are compared at once, by all that they hold.
    """
    listed = connection.execute(
        'SELECT name, "notnull", pk, hidden, lower(type) FROM pragma_table_xinfo(?) ORDER BY cid', (table,)
    ).fetchall()
    columns = tuple(str(name) for name, _, _, hidden, _ in listed if hidden not in _GENERATED)
    keys = sorted((pk, name, required, kind) for name, required, pk, _, kind in listed if pk)
    without_numbers = bool(
        connection.execute("SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)).get
    )
    if keys:
        named = tuple(str(name) for _, name, _, _ in keys)
        is_number = len(keys) == 1 and keys[0][3] == "integer"
        whole = without_numbers or is_number or all(required for _, _, required, _ in keys)
        return Layout(table, named if whole else (), columns)
    taken = {fold_ascii(name) for name in columns}
    number = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    return Layout(table, (), columns) if number is None else Layout(table, (number,), (number, *columns))

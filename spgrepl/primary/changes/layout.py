"""How the rows of a table are written down: which columns, and what names a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import attrs

from spgrepl.primary.changes.full_text import numbered_tables
from spgrepl.rows.numbers import RowNumber, add_number
from spgrepl.rows.render import delete_pieces, insert_head, update_pieces
from spgrepl.rows.values import RowValue
from spgrepl.text.sqltext import fold_ascii, quote_name

_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_VIRTUAL, _STORED = 2, 3


class Unwritable(Exception):
    """A change of a row cannot be written down for a copy; the message says why and what to do."""


@attrs.frozen
class TableLayout:
    """How the rows of a table are written down.

    Attributes:
        name: The table's name.
        columns: The columns that hold values of their own: all but generated ones.
        places: Where each of them stands among all columns of the table.
        key: The columns that name a row; empty where its row number does.
        key_places: Where each of them stands in `columns`.
        row_number: What the row number is called in SQL; None where it cannot be named, or there is none.
        has_row_numbers: Whether there are row numbers, that is, whether the table is not WITHOUT ROWID.
        exact_key: Whether a key without NULL names one row for certain.
        number_is_key: Whether the key is the row number, under a name of its own.
        computed: Whether the table has generated columns that are not stored; SQLite's report of a change cannot
            be read for such a table.
        has_gaps: Whether the table has columns that are not written down.
        counts_up: Whether the table is AUTOINCREMENT.
        numbered: Whether the row numbers are written down beside the key, because a full-text index finds its
            text by them.
        insert_head: The beginning of an INSERT, which names the row number first where there is no key.
        named_by: The columns that name a row where they hold a value: the key, or else the row number.
        delete_pieces: See `spgrepl.rows.render.delete_pieces`, for `named_by`.
        places_of: Takes the values of `columns` out of a whole row; None where that is the same.
    """

    name: str
    columns: tuple[str, ...]
    places: tuple[int, ...]
    key: tuple[str, ...]
    key_places: tuple[int, ...]
    row_number: str | None
    has_row_numbers: bool
    exact_key: bool = True
    number_is_key: bool = False
    computed: bool = False
    has_gaps: bool = False
    counts_up: bool = False
    numbered: bool = False

    insert_head: str = attrs.field(init=False)
    named_by: tuple[str, ...] = attrs.field(init=False)
    delete_pieces: tuple[str, ...] = attrs.field(init=False)
    _updates: dict[tuple[int, ...], tuple[str, ...]] = attrs.field(init=False, factory=dict)
    places_of: Callable[[tuple[RowValue, ...]], tuple[RowValue, ...]] | None = attrs.field(init=False)

    @insert_head.default
    def _head(self) -> str:
        named = self.columns if self.key or self.row_number is None else (self.row_number, *self.columns)
        return insert_head(self.name, named)

    @named_by.default
    def _naming(self) -> tuple[str, ...]:
        return self.key or (() if self.row_number is None else (self.row_number,))

    @delete_pieces.default
    def _delete(self) -> tuple[str, ...]:
        return delete_pieces(self.name, self.named_by)

    @property
    def is_plain(self) -> bool:
        """Whether nothing but its number, or a key without NULL, is needed to name a row."""
        return self.exact_key or not self.key

    @property
    def is_named_by_number(self) -> bool:
        """Whether its rows are named by their numbers, whatever these are called."""
        return self.number_is_key or not self.key

    def sure_key(self, row: tuple[RowValue, ...]) -> list[RowValue] | None:
        """The values of the key, where they name one row for certain; else None."""
        if not self.key or not self.exact_key:
            return None
        values = [row[place] for place in self.key_places]
        return None if None in values else values

    def name_of(
        self, row: tuple[RowValue, ...], number: int
    ) -> tuple[Sequence[str], Sequence[RowValue], str | None]:
        """What names a row: columns, their values, and the row number's name where the lowest one is meant.

        Args:
            row: The values of `columns`.
            number: The row's number.

        Raises:
            Unwritable: Nothing names it.
        """
        if not self.key:
            assert self.row_number is not None
            return (self.row_number,), (number,), None
        values = [row[place] for place in self.key_places]
        if self.exact_key and None not in values:
            return self.key, values, None
        if self.row_number is None:
            raise Unwritable(
                f"a row of table {self.name} whose primary key holds NULL cannot be named on a copy: columns "
                f"called rowid, _rowid_ and oid hide the row numbers. Give its key a value first"
            )
        return self.columns, row, self.row_number

    def with_number(self, sql: bytes, number: int) -> bytes:
        """The text of an INSERT or UPDATE, with the row's number where that is written down."""
        if not self.numbered:
            return sql
        assert self.row_number is not None
        return add_number(sql, RowNumber(self.row_number, number))

    def update_pieces(self, changed: tuple[int, ...]) -> tuple[str, ...]:
        """See `spgrepl.rows.render.update_pieces`; takes the places of the columns that changed."""
        pieces = self._updates.get(changed)
        if pieces is None:
            columns = tuple([self.columns[place] for place in changed])
            pieces = self._updates[changed] = update_pieces(self.name, columns, self.named_by)
        return pieces

    @places_of.default
    def _picker(self) -> Callable[[tuple[RowValue, ...]], tuple[RowValue, ...]] | None:
        places = self.places
        if not self.has_gaps:
            return None
        return lambda row: tuple([row[place] for place in places])


def read_layout(connection: apsw.Connection, table: str) -> TableLayout:
    """Read from the schema how the rows of a table are written down.

    Args:
        connection: The database.
        table: The table's name, as SQLite reports it.

    Raises:
        Unwritable: Its rows cannot be named, or the log cannot state its name or a column's.
    """
    if table.lower() == "sqlite_sequence":
        # Each side numbers the rows of this table itself.
        return TableLayout(table, ("name", "seq"), (0, 1), ("name",), (0,), None, has_row_numbers=True)
    found = _rows(connection, f"PRAGMA main.table_xinfo({quote_name(table)})")
    stored = [(place, row[1], row[5]) for place, row in enumerate(found) if row[6] not in (_VIRTUAL, _STORED)]
    columns = tuple(column for _, column, _ in stored)
    taken = {row[1].lower() for row in found}
    ranked = sorted((rank, place) for place, (_, _, rank) in enumerate(stored) if rank)
    key_places = tuple(place for _, place in ranked)
    key = tuple(columns[place] for place in key_places)
    has_row_numbers = not _without_row_numbers(connection, table)
    row_number = None
    if has_row_numbers:
        row_number = next((word for word in _ROW_NUMBERS if word not in taken), None)
    if not table or "" in columns:
        what = f"a column of table {table}" if table else "a table"
        raise Unwritable(f"the name of {what} is empty, which the log cannot state: give it another name")
    exact, counts_up, number_is_key = _judge_key(connection, table, key)
    numbered = fold_ascii(table) in numbered_tables(connection)
    if numbered and row_number is None:
        raise Unwritable(
            f"a full-text index finds its text in table {table} by row numbers, which columns called rowid, "
            f"_rowid_ and oid hide: a copy's index would find other rows. Rename one of these columns"
        )
    if not (key and exact) and row_number is None:
        raise Unwritable(
            f"the rows of table {table} cannot be named on a copy: no primary key tells every two rows apart, and "
            f"the row numbers are hidden by columns called rowid, _rowid_ and oid, or the table is WITHOUT ROWID. "
            f"Rename a column, or give the table a plain primary key"
        )
    return TableLayout(
        table,
        columns,
        tuple(place for place, _, _ in stored),
        key,
        key_places,
        row_number,
        has_row_numbers,
        exact_key=exact,
        number_is_key=number_is_key,
        computed=any(row[6] == _VIRTUAL for row in found),
        has_gaps=len(stored) < len(found),
        counts_up=counts_up,
        numbered=numbered,
    )


def check_table(connection: apsw.Connection, table: str) -> None:
    """Look whether the rows of a table that was made or altered can be replicated.

    Args:
        connection: The database.
        table: The table's name.

    Raises:
        Unwritable: They cannot.
    """
    rows = _rows(connection, f"PRAGMA main.table_list({quote_name(table)})")
    if not any(row[0] == "main" and row[2] == "table" for row in rows):
        return
    layout = read_layout(connection, table)
    if layout.computed and not layout.has_row_numbers:
        raise Unwritable(
            f"the rows of table {table} cannot be read as they change: it is WITHOUT ROWID and has generated "
            f"columns that are not STORED. Store them, or leave WITHOUT ROWID out"
        )


def _rows(connection: apsw.Connection, query: str) -> list[Any]:
    return connection.execute(query).fetchall()


def _without_row_numbers(connection: apsw.Connection, table: str) -> bool:
    rows = _rows(connection, f"PRAGMA main.table_list({quote_name(table)})")
    return any(row[4] for row in rows if row[0] == "main" and row[1].lower() == table.lower())


def _judge_key(connection: apsw.Connection, table: str, key: tuple[str, ...]) -> tuple[bool, bool, bool]:
    """Whether a key without NULL names one row for certain, is AUTOINCREMENT, and is the row number."""
    indexes = _rows(connection, f"PRAGMA main.index_list({quote_name(table)})")
    own = next((row[1] for row in indexes if row[3] == "pk"), None)
    if own is None:
        return True, bool(key) and bool(connection.column_metadata("main", table, key[0])[4]), bool(key)
    # A comparison goes by the column's collation, the index by its own, which may tell more values apart.
    for row in _rows(connection, f"PRAGMA main.index_xinfo({quote_name(own)})"):
        _, place, column, _, collation, is_key = row
        if is_key and place >= 0:
            _, of_column, *_ = connection.column_metadata("main", table, column)
            if of_column.upper() != collation.upper():
                return False, False, False
    return True, False, False

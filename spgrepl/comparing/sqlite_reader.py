"""The tables of a SQLite database as a comparison reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import apsw

from spgrepl.comparing import table_reader
from spgrepl.comparing.table_reader import SQLITE, Key, KeyRange, Layout, Row, Sum, TableReader
from spgrepl.errors import UsageError
from spgrepl.postgresql.comparing.canonical import BYTES, NUMBER, TEXT, canonical, checksum, order_of, row_texts
from spgrepl.rows.values import RawText
from spgrepl.sqlite.compared_rows import count_rows
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.quantities import number_of
from spgrepl.text.sqltext import fold_ascii, quote_name

_GENERATED = frozenset({2, 3})
_AT_ONCE = 500
_KINDS = {NUMBER: int, TEXT: str, BYTES: bytes}


class SqliteReader(TableReader):
    """Reads the tables of a SQLite database.

    Args:
        connection: The database, in a transaction that sees one moment.
    """

    kind = SQLITE

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._known_codec = ""

    @property
    def _codec(self) -> str:
        """How the database encodes texts."""
        if not self._known_codec:
            self._known_codec = str(self._connection.execute("PRAGMA encoding").get)
        return self._known_codec

    def layouts(self, names: Collection[str] | None = None) -> dict[str, Layout]:
        """See `TableReader`."""
        wanted = None if names is None else set(map(fold_ascii, names))
        listed = self._connection.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')"
        )
        return {
            name: layout_of(self._connection, name)
            for name in [str(found) for (found,) in listed.fetchall()]
            if not fold_ascii(name).startswith((OWN_PREFIX, "sqlite_"))
            and (wanted is None or fold_ascii(name) in wanted)
        }

    def fit(self, layout: Layout) -> Layout | str:
        """See `TableReader`: what is in PostgreSQL is made to fit, and never the other way round."""
        return "this end is a SQLite database, whose tables the other end has to fit: ask it what it has"

    def count(self, layout: Layout) -> int:
        """See `TableReader`."""
        return count_rows(self._connection, layout.name)

    def stops(self, layout: Layout, within: KeyRange) -> Iterator[Key]:
        """See `TableReader`; a value that the server's type cannot hold cuts nothing."""
        key = layout.key[: layout.ordered]
        kinds = _types_of_stops(layout)
        above = within.above
        while True:
            where, bound = self._where(layout, KeyRange(above, within.last))
            query = (
                f"SELECT {_typed(key)} FROM {quote_name(layout.name)}{where} "
                f"ORDER BY {_order(key)} LIMIT 1 OFFSET {table_reader.ROWS_IN_A_RANGE - 1}"
            )
            row = self._connection.execute(query, bound).fetchone()
            if row is None:
                return
            above = self._values(row)
            if above == within.last:
                return
            if all(_can_stop(value, kind) for value, kind in zip(above, kinds, strict=True)):
                yield above

    def sums(self, layout: Layout, ranges: Sequence[KeyRange]) -> list[Sum]:
        """See `TableReader`; without types of a server order counts, and SQLite's types."""
        return [self._server_sum(layout, one) if layout.types else self._sum(layout, one) for one in ranges]

    def _sum(self, layout: Layout, one: KeyRange) -> Sum:
        summed, count = hashlib.blake2b(digest_size=16), 0
        for batch in self._typed_rows(layout, one):
            count += len(batch)
            summed.update(repr(batch).encode())
        return count, summed.hexdigest()

    def _server_sum(self, layout: Layout, one: KeyRange) -> Sum:
        try:
            return self._server_sum_of(layout, self._plain_rows(layout, one))
        except UnicodeDecodeError:
            # Some text is not UTF-8: then each value is looked at.
            return self._server_sum_of(layout, self.read(layout, one))

    def _server_sum_of(self, layout: Layout, batches: Iterator[list[Row]]) -> Sum:
        writers = [canonical(one) for one in layout.types]
        count = total = 0
        for batch in batches:
            count += len(batch)
            total += sum(map(checksum, row_texts(writers, list(zip(*batch, strict=True)))))
        return count, str(total)

    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """See `TableReader`."""
        for batch in self._typed_rows(layout, one):
            yield list(map(self._values, batch))

    def _typed_rows(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """Rows as the database has them: each text as bytes, and after each value its type."""
        most = self._connection.limit(apsw.SQLITE_LIMIT_COLUMN) // 2
        if len(layout.columns) > most:
            raise UsageError(
                f"table {layout.name} has {number_of(len(layout.columns), 'column')}: tables of at "
                f"most {most} can be compared "
                f"in ranges of keys; compare the two files as they are, without --pinned"
            )
        return self._rows(layout, one, _typed(layout.columns))

    def _plain_rows(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        return self._rows(layout, one, ", ".join(map(quote_name, layout.columns)))

    def _rows(self, layout: Layout, one: KeyRange, asked: str) -> Iterator[list[Row]]:
        where, bound = self._where(layout, one)
        # In the order of the whole key: in an order that is not the same at any end none counts.
        order = f" ORDER BY {_order(layout.key)}" if layout.key else ""
        cursor = iter(
            self._connection.execute(f"SELECT {asked} FROM {quote_name(layout.name)}{where}{order}", bound)
        )
        while batch := [row for _, row in zip(range(_AT_ONCE), cursor, strict=False)]:
            yield batch

    def _values(self, row: Row) -> Row:
        """A row's values, of what was read with its types."""
        return tuple(
            self._text(value) if kind == "text" else value for value, kind in zip(row[::2], row[1::2], strict=True)
        )

    def _text(self, value: bytes) -> str | RawText:
        try:
            return value.decode(self._codec)
        except UnicodeDecodeError:
            return RawText(value)

    def _where(self, layout: Layout, one: KeyRange) -> tuple[str, tuple[Any, ...]]:
        parts: list[str] = []
        bound: list[Any] = []
        if layout.nullable:
            missing = " OR ".join(f"{name} IS NULL" for name in map(quote_name, layout.key))
            parts.append(f"({missing})" if one.nameless else f"NOT ({missing})")
        for sign, key in ((">", one.above), ("<=", one.last)):
            if key is not None:
                # Text that is not UTF-8 is handed over as bytes.
                marks = ("CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in key)
                parts.append(f"({_order(layout.key[: layout.ordered])}) {sign} ({', '.join(marks)})")
                bound += [value.content if isinstance(value, RawText) else value for value in key]
        return (f" WHERE {' AND '.join(parts)}" if parts else ""), tuple(bound)


def _types_of_stops(layout: Layout) -> list[type]:
    if not layout.types:
        return [object] * layout.ordered
    return [_KINDS[order_of(layout.types[place])] for place in layout.places[: layout.ordered]]


def _can_stop(value: Any, kind: type) -> bool:
    """Whether a range may end at a value at both ends: no text of a server holds a zero byte."""
    return isinstance(value, kind) and not (isinstance(value, str) and kind is str and "\0" in value)


def _typed(columns: Sequence[str]) -> str:
    return ", ".join(
        f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END, typeof({name})"
        for name in map(quote_name, columns)
    )


def _order(columns: Sequence[str]) -> str:
    return ", ".join(f"{quote_name(name)} COLLATE BINARY" for name in columns)


def layout_of(connection: apsw.Connection, table: str) -> Layout:
    """Look at a table.

    A row whose primary key holds NULL has no name: such rows are compared by all that they hold.
    """
    listed = connection.execute(
        'SELECT name, "notnull", pk, hidden, lower(type) FROM pragma_table_xinfo(?) ORDER BY cid', (table,)
    ).fetchall()
    columns = tuple(str(name) for name, _, _, hidden, _ in listed if hidden not in _GENERATED)
    keys = sorted((pk, name, required, kind) for name, required, pk, _, kind in listed if pk)
    kind, without_numbers = connection.execute(
        "SELECT type, wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)
    ).fetchone() or ("table", 0)
    inner = kind == "shadow"
    # Elsewhere texts are in another order than those in UTF-16 are.
    alike = connection.execute("PRAGMA encoding").get == "UTF-8"
    if keys:
        is_number = len(keys) == 1 and keys[0][3] == "integer" and not without_numbers
        whole = without_numbers or is_number or all(required for _, _, required, _ in keys)
        named = tuple(str(name) for _, name, _, _ in keys)
        return Layout(table, named, columns, len(named) if alike or is_number else 0, not whole, inner=inner)
    taken = {fold_ascii(name) for name in columns}
    number = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
    if number is None:
        return Layout(table, (), columns, inner=inner)
    return Layout(table, (number,), (number, *columns), 1, numbered=True, inner=inner)

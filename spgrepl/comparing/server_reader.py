"""The tables of a database in PostgreSQL as a comparison reads them: ranges summed up there, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from spgrepl.comparing import table_reader
from spgrepl.comparing.table_reader import POSTGRESQL, Key, KeyRange, Layout, Row, Sum, TableReader
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.comparing.canonical import (
    BYTES,
    NUMBER,
    TEXT,
    Canonical,
    canonical,
    order_of,
    row_sql,
    sum_sql,
)
from spgrepl.postgresql.names import SCHEMA, NameUnfit, quoted
from spgrepl.postgresql.session import Session
from spgrepl.postgresql.tables import Table, difference_of, read_table
from spgrepl.sqlite.state import OWN_PREFIX

_TABLES = f"""
SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition AND pg_table_is_visible(oid)
   AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_'
                                 OR nspname IN ('information_schema', '{SCHEMA}'))
   AND relname !~* '^({OWN_PREFIX}|sqlite_)'
   AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                                             AND deptype = 'e')
 ORDER BY 1
"""
"""All that the search path shows, without what an extension brings and what no SQLite database can have."""

_BYTE_ORDER = frozenset({"UTF8", "LATIN1", "SQL_ASCII"})
"""Encodings in which texts are in the same order, byte for byte, as they are in UTF-8."""

_TYPES = {NUMBER: "bigint", TEXT: "text", BYTES: "bytea"}
_LAST_NUMBER = 2**63 - 1


class ServerReader(TableReader):
    """Reads the tables of a database in PostgreSQL.

    Args:
        session: The server, in a transaction that sees one moment.
    """

    kind = POSTGRESQL

    def __init__(self, session: Session) -> None:
        self._session = session

    def _rows_of(self, query: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._session.storing():
            found: list[tuple[Any, ...]] = self._session.open().execute(query, tuple(bound)).fetchall()
            return found

    # -- what there is --------------------------------------------------------------------------------------------

    def layouts(self, names: Collection[str] | None = None) -> dict[str, Layout]:
        """See `TableReader`."""
        found = {}
        for (name,) in self._rows_of(_TABLES):
            table = self._table(str(name)) if names is None or name in names else None
            if table is not None:
                columns = tuple(one.name for one in table.columns.values() if not one.generated)
                found[table.name] = self._layout(table, table.key, columns)
        return found

    def _table(self, name: str) -> Table | None:
        with self._session.storing():
            connection = self._session.open()
            return read_table(connection, name, own_schema.is_there(connection))

    def _layout(self, table: Table, key: Sequence[str], columns: Sequence[str]) -> Layout:
        types = tuple(table.columns[name].type for name in columns)
        return Layout(
            table.name, tuple(key), tuple(columns), self._ordered(table, key), types=types, in_server=True
        )

    def _ordered(self, table: Table, key: Sequence[str]) -> int:
        orders = [order_of(table.columns[name].type) for name in key]
        if orders[:1] == [TEXT]:
            # An index of texts is in the order of their language, and no use for ranges of several columns.
            return int(self._rows_of("SHOW server_encoding")[0][0] in _BYTE_ORDER)
        return next((at for at, one in enumerate(orders) if one in ("", TEXT)), len(orders))

    def fit(self, layout: Layout) -> Layout | str:
        """See `TableReader`."""
        try:
            table = self._table(layout.name)
        except NameUnfit as error:
            return str(error)
        if table is None:
            return f"{self._session.address} does not have it"
        number = layout.key[0] if layout.numbered else None
        unlike = difference_of(table, layout.columns, layout.key, number)
        if unlike is not None:
            return f"in {self._session.address} {unlike}"
        return self._layout(table, layout.key, layout.columns)

    # -- rows -----------------------------------------------------------------------------------------------------

    def count(self, layout: Layout) -> int:
        """See `TableReader`."""
        return int(self._rows_of(f"SELECT count(*) FROM {quoted(layout.name)}")[0][0])

    def stops(self, layout: Layout, within: KeyRange) -> Iterator[Key]:
        """See `TableReader`; in one pass, whatever index there is."""
        keys = [f"k{place}" for place in range(layout.ordered)]
        named = ", ".join(f"{one} AS {name}" for one, name in zip(_ordered(layout), keys, strict=True))
        where, bound = _where(layout, within)
        listed = ", ".join(keys)
        numbered = f"SELECT {listed}, row_number() OVER (ORDER BY {listed}) AS number FROM ranked"
        query = (
            f"WITH ranked AS (SELECT {named} FROM {_escaped(layout)}{where}), numbered AS ({numbered}) "
            f"SELECT {listed} FROM numbered WHERE mod(number, {table_reader.ROWS_IN_A_RANGE}) = 0 ORDER BY number"
        )
        last = None
        for row in self._rows_of(query, bound):
            if row not in (last, within.last):
                yield row
            last = row

    def sums(self, layout: Layout, ranges: Sequence[KeyRange]) -> list[Sum]:
        """See `TableReader`."""
        if len(ranges) > 1 and layout.ordered == 1:
            return self._sums_in_one_pass(layout, ranges)
        found = []
        for one in ranges:
            where, bound = _where(layout, one)
            row = self._rows_of(f"SELECT count(*), {_total(layout)} FROM {_escaped(layout)}{where}", bound)[0]
            found.append((int(row[0]), str(row[1])))
        return found

    def _sums_in_one_pass(self, layout: Layout, ranges: Sequence[KeyRange]) -> list[Sum]:
        """Ranges of one column, which may have no index in the order of the ranges."""
        kind = _TYPES[order_of(layout.types[layout.places[0]])]
        bucket = f"width_bucket(({_ordered(layout)[0]})::{kind}, %s::{kind}[])"
        # A bucket begins at the first key that is above the last of the one before.
        lasts = [one.last[0] for one in ranges[:-1] if one.last is not None]
        begins = [_next(last) for last in lasts if last != _LAST_NUMBER]
        where, bound = _where(layout, KeyRange(ranges[0].above, ranges[-1].last))
        query = f"SELECT {bucket}, count(*), {_total(layout)} FROM {_escaped(layout)}{where} GROUP BY 1"
        rows = self._rows_of(query, [begins, *bound])
        found = {int(number): (int(count), str(total)) for number, count, total in rows}
        return [found.get(number, (0, "0")) for number in range(len(ranges))]

    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """See `TableReader`."""
        if one.nameless:
            return
        where, bound = _where(layout, one)
        asked = ", ".join(writer.of(name) for name, writer in _written(layout))
        yield self._rows_of(f"SELECT {asked.replace('%', '%%')} FROM {_escaped(layout)}{where}", bound)


def _next(value: Any) -> Any:
    """The value after another one, in the order of its type."""
    if isinstance(value, int):
        return value + 1
    # The smallest character of a text, where a text holds no zero byte.
    return value + "\1" if isinstance(value, str) else value + b"\0"


def _escaped(layout: Layout) -> str:
    return quoted(layout.name).replace("%", "%%")


def _written(layout: Layout) -> list[tuple[str, Canonical]]:
    """Each column, with how its values are written."""
    return [(quoted(name), canonical(one)) for name, one in zip(layout.columns, layout.types, strict=True)]


def _total(layout: Layout) -> str:
    return sum_sql(row_sql(_written(layout))).replace("%", "%%")


def _ordered(layout: Layout) -> list[str]:
    """The columns of ranges, in the order that is the same everywhere."""
    found = []
    for place in layout.places[: layout.ordered]:
        name = quoted(layout.columns[place]).replace("%", "%%")
        kind = order_of(layout.types[place])
        found.append({NUMBER: name, TEXT: f'{name}::text COLLATE "C"', BYTES: name}[kind])
    return found


def _where(layout: Layout, one: KeyRange) -> tuple[str, list[Any]]:
    parts: list[str] = []
    bound: list[Any] = []
    for sign, key in ((">", one.above), ("<=", one.last)):
        if key is not None:
            marks = ", ".join(["%s"] * len(key))
            parts.append(f"({', '.join(_ordered(layout))}) {sign} ({marks})")
            bound += key
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), bound

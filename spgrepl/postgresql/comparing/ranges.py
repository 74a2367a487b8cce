"""A table at both ends: cut into ranges of keys, the rows of each summed up, those that differ found.

Ranges are cut where this end has so many rows; both ends sum up in one pass each. Only the rows of ranges whose
sums differ are fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import apsw
import attrs

from spgrepl.postgresql.comparing.canonical import (
    NULL,
    Canonical,
    canonical,
    checksum,
    row_sql,
    row_texts,
    sum_sql,
)
from spgrepl.postgresql.copying.source_tables import SourceTable
from spgrepl.postgresql.copying.table_ddl import key_of
from spgrepl.postgresql.names import literal, quoted
from spgrepl.postgresql.tables import Table
from spgrepl.rows.values import RawText, RowValue
from spgrepl.text.sqltext import quote_name

ROWS_IN_A_RANGE = 10_000
_AT_ONCE = 2000
_ORDERED = {"int2": "bigint", "int4": "bigint", "int8": "bigint", "text": "text", "varchar": "text"}
_INTEGERS = frozenset({"int2", "int4", "int8"})


@attrs.frozen
class Range:
    """Rows whose first key column is in a range.

    Attributes:
        first: Where it begins; None for the beginning.
        stop: Where it ends; None for the end.
        rows: How many rows it has here.
        total: The sum of their checksums.
    """

    first: RowValue
    stop: RowValue
    rows: int
    total: int


@attrs.frozen
class RowPair:
    """A row that is not the same here and in the server.

    Attributes:
        key: The canonical texts of its key.
        here: Those of its columns here; None where it is not.
        there: The same in the server.
        values: Its values here.
    """

    key: tuple[str, ...]
    here: tuple[str, ...] | None
    there: tuple[str, ...] | None
    values: tuple[RowValue, ...] | None = None


class TwoEnds:
    """One table, here and in the server.

    Args:
        here: The database, in a transaction.
        server: The server, in a transaction that sees one moment.
        source: The table here.
        table: The same in the server.
        carefully: Whether there may be text that is not UTF-8; else reading it raises `UnicodeDecodeError`.
    """

    def __init__(
        self, here: apsw.Connection, server: Any, source: SourceTable, table: Table, carefully: bool = False
    ) -> None:
        self._carefully = carefully
        self._here = here
        self._server = server
        self._source = source
        self._table = table
        self.names = list(source.copied)
        self.key = key_of(source) or source.copied
        self._writers: list[Canonical] = [canonical(table.columns[name].type) for name in self.names]
        self._places = [self.names.index(name) for name in self.key]

    # -- here -------------------------------------------------------------------------------------------------

    def _asked(self) -> str:
        return ", ".join(self._column(name) for name in self.names)

    def _column(self, name: str) -> str:
        return name if name == self._source.row_number else quote_name(name)

    def _order(self) -> str:
        return ", ".join(
            self._column(name)
            if self._table.columns[name].type.base in _INTEGERS
            else f"{self._column(name)} COLLATE BINARY"
            for name in self.key
        )

    def _rows(self, where: str = "", bound: Sequence[RowValue] = ()) -> Iterator[list[tuple[RowValue, ...]]]:
        asked, read = (self._careful(), _read_carefully) if self._carefully else (self._asked(), _as_it_is)
        query = f"SELECT {asked} FROM {quote_name(self._source.name)}{where} ORDER BY {self._order()}"
        rows = self._here.execute(query, tuple(bound))
        while batch := [read(row) for row in islice(rows, _AT_ONCE)]:
            yield batch

    def _careful(self) -> str:
        return ", ".join(
            f"typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
            for name in map(self._column, self.names)
        )

    def ranges(self, told: Callable[[int], None] = lambda _: None) -> list[Range]:
        """The ranges here, in one pass.

        Args:
            told: Called now and then with how many rows were read.
        """
        found: list[Range] = []
        base = self._table.columns[self.key[0]].type.base
        divisible = base in _ORDERED
        kind = int if _ORDERED.get(base) == "bigint" else str
        first: RowValue = None
        rows = total = read = 0
        last: RowValue = None
        for batch in self._rows():
            told(read)
            read += len(batch)
            texts = row_texts(self._writers, list(zip(*batch, strict=True)))
            for values, text in zip(batch, texts, strict=True):
                key = values[self._places[0]]
                if rows >= ROWS_IN_A_RANGE and divisible and key != last and isinstance(key, kind):
                    found.append(Range(first, key, rows, total))
                    first, rows, total = key, 0, 0
                rows += 1
                total += checksum(text)
                last = key
        found.append(Range(first, None, rows, total))
        return found

    def literal(self, name: str, text: str) -> str:
        """A column's canonical text, as a constant of the server's SQL."""
        return "NULL" if text == NULL else literal(self._writers[self.names.index(name)].plain(text))

    def encoded(self, values: Sequence[RowValue]) -> list[str]:
        """A row's values, as constants of the server's SQL.

        Raises:
            Misfit: The server cannot hold one of them.
        """
        columns = zip(self.names, values, strict=True)
        texts = [self._table.columns[name].type.encode([value])[0] for name, value in columns]
        return ["NULL" if text is None else literal(text) for text in texts]

    def shown(self, name: str, text: str) -> str:
        """A column's canonical text, for people."""
        return self._writers[self.names.index(name)].shown(text)

    # -- there ------------------------------------------------------------------------------------------------

    def _columns(self) -> list[tuple[str, Canonical]]:
        return [(quoted(name), writer) for name, writer in zip(self.names, self._writers, strict=True)]

    def sums(self, ranges: Sequence[Range]) -> dict[int, tuple[int, int]]:
        """Rows and sums of the ranges in the server, by the range's number, in one pass."""
        total = sum_sql(row_sql(self._columns()))
        stops = [one.stop for one in ranges[:-1]]
        if not stops:
            row = self._server.execute(f"SELECT count(*), {total} FROM {quoted(self._table.name)}").fetchone()
            return {0: (int(row[0]), int(row[1]))}
        kind = _ORDERED[self._table.columns[self.key[0]].type.base]
        key = f'({quoted(self.key[0])}::text COLLATE "C")' if kind == "text" else f"{quoted(self.key[0])}::bigint"
        query = (
            f"SELECT width_bucket({key}, %s::{kind}[]), count(*), {total.replace('%', '%%')} "
            f"FROM {quoted(self._table.name).replace('%', '%%')} GROUP BY 1"
        )
        rows = self._server.execute(query, (stops,)).fetchall()
        return {int(number): (int(count), int(sum_)) for number, count, sum_ in rows}

    # -- rows that differ -------------------------------------------------------------------------------------

    def differing(self, one: Range) -> Iterator[RowPair]:
        """The rows of a range that differ, in the order of the texts of their keys."""
        there = self._rows_there(one)
        other = next(there, None)
        for texts, values in self._rows_here(one):
            key = self._key_of(texts)
            while other is not None and self._key_of(other) < key:
                yield RowPair(self._key_of(other), None, other)
                other = next(there, None)
            if other is None or self._key_of(other) != key:
                yield RowPair(key, texts, None, values)
                continue
            if other != texts:
                yield RowPair(key, texts, other, values)
            other = next(there, None)
        while other is not None:
            yield RowPair(self._key_of(other), None, other)
            other = next(there, None)

    def _key_of(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(texts[place] for place in self._places)

    def _rows_here(self, one: Range) -> Iterator[tuple[tuple[str, ...], tuple[RowValue, ...]]]:
        where, bound = self._where(one, self._column(self.key[0]), "?")
        rows: list[tuple[tuple[str, ...], tuple[RowValue, ...]]] = []
        for batch in self._rows(where, bound):
            columns = zip(self._writers, zip(*batch, strict=True), strict=True)
            texts = zip(*[writer.texts(column) for writer, column in columns], strict=True)
            rows += zip(texts, batch, strict=True)
        return iter(sorted(rows, key=lambda row: self._key_of(row[0])))

    def _rows_there(self, one: Range) -> Iterator[tuple[str, ...]]:
        columns = self._columns()
        key = quoted(self.key[0])
        kind = _ORDERED.get(self._table.columns[self.key[0]].type.base)
        where, bound = self._where(one, f'{key}::text COLLATE "C"' if kind == "text" else key, "%s")
        asked = ", ".join(writer.of(name) for name, writer in columns).replace("%", "%%")
        query = f"SELECT {asked} FROM {quoted(self._table.name).replace('%', '%%')}{where}"
        rows = self._server.execute(query, tuple(bound)).fetchall()
        return iter(sorted(map(tuple, rows), key=self._key_of))

    @staticmethod
    def _where(one: Range, column: str, mark: str) -> tuple[str, list[RowValue]]:
        parts: list[str] = []
        bound: list[RowValue] = []
        escaped = column.replace("%", "%%") if mark == "%s" else column
        if one.first is not None:
            parts.append(f"{escaped} >= {mark}")
            bound.append(one.first)
        if one.stop is not None:
            parts.append(f"{escaped} < {mark}")
            bound.append(one.stop)
        return (f" WHERE {' AND '.join(parts)}" if parts else ""), bound


def _as_it_is(row: tuple[Any, ...]) -> tuple[RowValue, ...]:
    return row


def _read_carefully(row: tuple[Any, ...]) -> tuple[RowValue, ...]:
    return tuple(_value(kind, value) for kind, value in zip(row[::2], row[1::2], strict=True))


def _value(kind: str, value: RowValue) -> RowValue:
    if kind != "text":
        return value
    assert isinstance(value, bytes)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return RawText(value)

"""Rows of a SQLite database as the lines of a COPY, written by SQLite itself: that is several times quicker.

Each column becomes an expression of SQL that is the value's text, as COPY takes it, or NULL where the value does
not fit. So is the whole line then, and the row is looked at again, to name the column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import apsw
import attrs

from spgrepl.postgresql.column_types import ColumnType, Misfit
from spgrepl.postgresql.copying.source_tables import SourceTable
from spgrepl.rows.values import RawText, RowValue
from spgrepl.text.sqltext import quote_name

_AT_ONCE = 2000
_FLOAT = "spgrepl_float"
_ENCODE = "spgrepl_encoded"
_QUICK_INTEGERS = {"int2": 2**15, "int4": 2**31, "int8": None, "oid": None}
_EXACT = 2**53


class LineUnfit(Exception):
    """A row of the source does not fit its table in the server."""


@attrs.frozen
class LineSource:
    """A table whose rows are to be copied.

    Attributes:
        table: The table.
        types: The types of its columns in the server, by name; those of the row's number, too.
        own: Expressions of SQL for columns whose values are written in a way of their own, by name; ``{0}`` stands
            for the column.
        schema: The name under which its database is attached.
    """

    table: SourceTable
    types: Mapping[str, ColumnType]
    own: Mapping[str, str] = attrs.field(factory=dict)
    schema: str = "main"

    @property
    def _from(self) -> str:
        return f"{quote_name(self.schema)}.{quote_name(self.table.name)} NOT INDEXED ORDER BY {self.table.order}"

    def batches(self, connection: apsw.Connection) -> Iterator[tuple[str, int]]:
        """The lines, many at once, each with its end; and how many.

        Raises:
            LineUnfit: A row does not fit; table, key and column are named.
        """
        _register(connection)
        pieces = [self._piece(connection, name) for name in self.table.copied]
        # Text also where there is nothing to join: one column alone would keep its type.
        line = " || char(9) || ".join(pieces) if len(pieces) > 1 else f"'' || {pieces[0]}"
        rows = connection.execute(f"SELECT {line} FROM {self._from}", can_cache=False)
        done = 0
        while True:
            try:
                lines = [row[0] for row in islice(rows, _AT_ONCE)]
            except UnicodeDecodeError:
                raise self._unfit_from(connection, done) from None
            if not lines:
                return
            if None in lines:
                raise self.unfit(connection, done + lines.index(None))
            done += len(lines)
            yield "\n".join(lines) + "\n", len(lines)

    # -- columns ----------------------------------------------------------------------------------------------

    def _piece(self, connection: apsw.Connection, name: str) -> str:
        column = quote_name(name) if name != self.table.row_number else name
        null = "NULL" if name in self.table.key else "'\\N'"
        given = self.own.get(name)
        if given is not None:
            return f"CASE WHEN {column} IS NULL THEN {null} ELSE {_escaped(given.format(column))} END"
        of = self.types[name]
        kinds = _pieces(of, column)
        if kinds is None:
            # Whatever needs a closer look is looked at by `ColumnType`.
            function = _register_encoder(connection, of)
            return f"CASE WHEN {column} IS NULL THEN {null} ELSE {function}({column}) END"
        cases = " ".join(f"WHEN '{kind}' THEN {piece}" for kind, piece in kinds.items())
        return f"CASE typeof({column}) {cases} WHEN 'null' THEN {null} END"

    # -- what does not fit ------------------------------------------------------------------------------------

    def _unfit_from(self, connection: apsw.Connection, first: int) -> LineUnfit:
        """Find the first row, from one on, that holds text that is not UTF-8."""
        for number in range(first, first + _AT_ONCE):
            values = self._values(connection, number)
            if values is None or any(isinstance(value, RawText) for value in values):
                return self.unfit(connection, number)
        return self.unfit(connection, first)

    def unfit(
        self, connection: apsw.Connection, number: int, said: str = "", column: str | None = None
    ) -> LineUnfit:
        """Name what is wrong with a row.

        Args:
            connection: The database.
            number: Which row, from 0.
            said: What the server said; empty where it was not asked.
            column: The column that the server named.
        """
        names = self.table.copied
        values = self._values(connection, number)
        if values is None:
            return LineUnfit(f"row {number + 1} of table {self.table.name}: {said or 'it is not there any more'}")
        row = dict(zip(names, values, strict=True))
        keys = self.table.key or names[:1]
        key = ", ".join(f"{name}={_shown(row[name])}" for name in keys)
        where = f"table {self.table.name}, row {key}"
        if said:
            return LineUnfit(f"{where}{f', column {column}' if column else ''}: {said}")
        for name, value in row.items():
            if value is None and name in self.table.key:
                return LineUnfit(f"{where}, column {name}: NULL stands in the primary key, which takes none")
            if name in self.own and not isinstance(value, RawText):
                continue
            try:
                self.types[name].encode([value])
            except Misfit as misfit:
                return LineUnfit(f"{where}, column {name}: {misfit.reason}")
        return LineUnfit(f"{where}: it does not fit")

    def _values(self, connection: apsw.Connection, number: int) -> Sequence[RowValue] | None:
        asked = ", ".join(
            f"typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
            for name in (one if one == self.table.row_number else quote_name(one) for one in self.table.copied)
        )
        found = connection.execute(f"SELECT {asked} FROM {self._from} LIMIT 1 OFFSET ?", (number,)).fetchone()
        if found is None:
            return None
        return [_value(kind, value) for kind, value in zip(found[::2], found[1::2], strict=True)]


def _value(kind: str, value: RowValue) -> RowValue:
    if kind != "text":
        return value
    assert isinstance(value, bytes)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return RawText(value)


def _shown(value: RowValue) -> str:
    text = "NULL" if value is None else repr(value.content if isinstance(value, RawText) else value)
    return text if len(text) <= 60 else text[:60] + "…"


def _pieces(of: ColumnType, column: str) -> dict[str, str] | None:
    """The text of a column's values by their kind; None where they need a closer look."""
    limit = _QUICK_INTEGERS.get(of.base, 0)
    if limit is None:
        return {"integer": column}
    if limit:
        return {"integer": f"CASE WHEN {column} BETWEEN {-limit} AND {limit - 1} THEN {column} END"}
    exact = f"CASE WHEN {column} BETWEEN {-_EXACT} AND {_EXACT} THEN {column} ELSE {_FLOAT}({column}) END"
    if of.base == "float8":
        return {"real": _float_piece(column), "integer": exact}
    if of.base == "numeric" and of.modifier < 4:
        return {"integer": column, "real": _shortest_piece(column)}
    if of.base == "bytea":
        return {"blob": f"'\\\\x' || hex({column})"}
    if of.base == "bool":
        return {"integer": f"CASE WHEN {column} IN (0, 1) THEN {column} END"}
    if of.base in ("text", "varchar", "bpchar") and of.modifier < 4:
        found = {"text": _text_piece(column)}
        if of.takes_numbers:
            found |= {"integer": column, "real": f"{_FLOAT}({column})"}
        return found
    if of.base in ("float4", "numeric", "text", "varchar", "bpchar", "money", "xid", "xid8"):
        return None
    return {"text": _text_piece(column)}


def _number(column: str) -> str:
    return f"printf('%!.17g', {column})"


def _float_piece(column: str) -> str:
    # SQLite's printf writes no sign for zero.
    return f"CASE WHEN {column} = 0.0 THEN {_FLOAT}({column}) ELSE {_number(column)} END"


def _shortest_piece(column: str) -> str:
    # A column of type numeric keeps every digit: the fewest that are this number, as rows of the log have them.
    short = f"printf('%!.15g', {column})"
    is_it = f"{column} <> 0.0 AND CAST({short} AS REAL) = {column}"
    return f"CASE WHEN {is_it} THEN {short} ELSE {_FLOAT}({column}, 1) END"


def _text_piece(column: str) -> str:
    # Most texts hold nothing that means more to COPY: to look is quicker than to replace.
    special = " OR ".join(f"instr({column}, {mark})" for mark in ("'\\'", "char(9)", "char(10)", "char(13)"))
    return f"CASE WHEN instr({column}, char(0)) THEN NULL WHEN {special} THEN {_escaped(column)} ELSE {column} END"


def _escaped(text: str) -> str:
    return (
        f"replace(replace(replace(replace({text}, '\\', '\\\\'), char(9), '\\t'), char(10), '\\n'), "
        f"char(13), '\\r')"
    )


# -- functions of Python, for what is rare --------------------------------------------------------------------


def _register(connection: apsw.Connection) -> None:
    connection.create_scalar_function(_FLOAT, _float_text, -1, deterministic=True)


def _float_text(*values: Any) -> str | None:
    value, unsigned_zero = values[0], len(values) > 1
    if isinstance(value, int):
        return str(value) if int(float(value)) == value else None
    if value == 0 and unsigned_zero and math.copysign(1, value) < 0:
        return None
    return float.__repr__(value)


def _register_encoder(connection: apsw.Connection, of: ColumnType) -> str:
    """A function of SQL that writes the values of a type, or NULL where one does not fit."""
    name = f"{_ENCODE}_{of.base}_{of.modifier}_{int(of.takes_numbers)}".replace("-", "m")

    def encode(*values: Any) -> str | None:
        try:
            (text,) = of.encode(values)
        except Misfit:
            return None
        if text is None:
            return None
        return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")

    connection.create_scalar_function(name, encode, 1, deterministic=True)
    return name

"""What only its CREATE statement tells of a table of SQLite: collations, CHECKs and generated columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import sqlglot
from sqlglot import exp

from spgrepl.postgresql.copying.expressions import Column, ExpressionWriter, Kind, NotCertain
from spgrepl.postgresql.copying.source_tables import SourceIndex, SourceTable
from spgrepl.postgresql.copying.type_map import MappedType, affinity
from spgrepl.text.sqltext import fold_ascii, upper_ascii

_BINARY = frozenset({"", "BINARY"})
_KINDS = {Kind.TEXT: ("text", ("TEXT", "BLOB")), Kind.NUMBER: ("bigint", ("INTEGER", "BLOB", "NUMERIC"))}


@attrs.frozen
class Check:
    """A CHECK constraint.

    Attributes:
        name: Its name; empty for none.
        node: Its condition.
    """

    name: str
    node: exp.Expression

    def __str__(self) -> str:
        return f"CHECK ({self.node.sql(dialect='sqlite')})"


class Declared:
    """What a table's CREATE statement says.

    Args:
        table: The table.
        types: The types of its columns in the server.

    Attributes:
        checks: Its CHECK constraints.
        is_read: Whether the statement was understood.
        writer: Writes expressions over its columns.
    """

    def __init__(self, table: SourceTable, types: Mapping[str, MappedType]) -> None:
        self._table = table
        self._generated: dict[str, exp.Expression] = {}
        self.is_read = True
        collations: dict[str, str] = {}
        try:
            parsed = _parsed(table.sql)
        except NotCertain:
            self.is_read = False
            parsed = exp.Create()
        for column in parsed.find_all(exp.ColumnDef):
            for constraint in column.constraints:
                kind = constraint.args.get("kind")
                if isinstance(kind, exp.CollateColumnConstraint):
                    collations[fold_ascii(column.name)] = upper_ascii(kind.this.name)
                elif isinstance(kind, exp.ComputedColumnConstraint):
                    self._generated[column.name] = kind.this
        self.checks = tuple(self._checks_in(parsed))
        self.writer = ExpressionWriter(
            {
                fold_ascii(column.name): Column(
                    column.name,
                    types[column.name].sql,
                    not types[column.name].loose
                    and affinity(column.declared) == "TEXT"
                    and collations.get(fold_ascii(column.name), "") in _BINARY,
                )
                for column in table.stored
                if column.name in types
            }
        )

    @staticmethod
    def _checks_in(parsed: exp.Expression) -> Iterator[Check]:
        for node in parsed.find_all(exp.CheckColumnConstraint, exp.Check):
            parent = node.parent
            named = isinstance(parent, exp.ColumnConstraint | exp.Constraint) and parent.this is not None
            yield Check(parent.this.name if named and parent is not None else "", node.this)

    def generated(self, name: str) -> tuple[str, str]:
        """The type of a generated column, and its expression.

        Raises:
            NotCertain: It may have another value there.
        """
        node = self._generated.get(name)
        column = next(one for one in self._table.columns if one.name == name)
        if node is None:
            raise NotCertain("its expression is not understood")
        written = self.writer.write(node)
        sql, kind = written.sql, written.kind
        if kind is Kind.TRUTH:
            sql, kind = f"({sql})::int", Kind.NUMBER
        if kind not in _KINDS or written.of not in ("", "bigint"):
            raise NotCertain(f"a {kind.value} of that type may become another one")
        of, taken = _KINDS[kind]
        if affinity(column.declared) not in taken or "BLOB" in upper_ascii(column.declared):
            raise NotCertain(f"a {kind.value} in a column that is declared {column.declared} becomes another one")
        return of, sql

    def index_parts(self, index: SourceIndex) -> tuple[tuple[str, ...], str]:
        """The expressions of an index's parts, empty for those that are columns, and its condition.

        Raises:
            NotCertain: One may have another value there.
        """
        plain = not index.partial and all(name is not None for name, _, _ in index.columns)
        if plain or index.sql is None:
            return ("",) * len(index.columns), ""
        parameters = _parsed(index.sql).find(exp.IndexParameters)
        columns = [] if parameters is None else parameters.args.get("columns") or []
        if parameters is None or len(columns) != len(index.columns):
            raise NotCertain("it is not understood")
        parts = tuple(
            "" if name is not None else self.writer.write(column.this).sql
            for (name, _, _), column in zip(index.columns, columns, strict=True)
        )
        where = parameters.args.get("where")
        return parts, "" if where is None else self.writer.condition(where.this)


def _parsed(sql: str) -> exp.Expression:
    """A CREATE statement.

    Raises:
        NotCertain: It is not understood.
    """
    try:
        found = sqlglot.parse_one(sql, read="sqlite")
    except Exception as error:  # whatever it is that sqlglot says of what it cannot read
        raise NotCertain("its CREATE statement is not understood") from error
    if not isinstance(found, exp.Create):
        raise NotCertain("its CREATE statement is not understood")
    return found

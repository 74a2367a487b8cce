"""Expressions of SQLite's tables in PostgreSQL's words, where they are certain to mean the same and never to fail.

A CHECK, a generated column or an index of an expression judges every row that arrives, or computes with it. So
only what has the same value in both for each row is taken: comparisons of like with like, texts by their bytes, a
few functions of texts. Arithmetic is not: a number that is too large is a REAL in SQLite, and an error there.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

import attrs
from sqlglot import exp

from spgrepl.postgresql.names import literal, quoted

_BYTES = 'COLLATE "C"'
_LONGEST = 15
"""So many digits are exact as a number of each type."""


class NotCertain(Exception):
    """An expression may have another value in PostgreSQL; the message says which part of it."""


class Kind(enum.Enum):
    """What an expression is."""

    NUMBER = "number"
    TEXT = "text"
    TRUTH = "truth"
    FLAG = "flag"


@attrs.frozen
class Column:
    """A column that expressions may name.

    Attributes:
        name: Its name.
        type: Its type in PostgreSQL.
        is_plain: Whether its texts are compared by their bytes, and only texts are in it.
    """

    name: str
    type: str
    is_plain: bool


@attrs.frozen
class Written:
    """An expression of PostgreSQL.

    Attributes:
        sql: It, so that it can stand anywhere in another.
        kind: What it is.
        of: The type of a number that is not a constant; those of different types are compared in different ways.
    """

    sql: str
    kind: Kind
    of: str = ""


_NUMBERS = frozenset({"bigint", "double precision", "numeric"})
_COMPARED: Mapping[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLAGS = {"0": "false", "1": "true"}
_JOINED: Mapping[type[exp.Expression], str] = {exp.And: "AND", exp.Or: "OR"}


class ExpressionWriter:
    """Writes expressions over the columns of one table.

    Args:
        columns: Its columns, by their names in small letters.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns
        self._writers: dict[type[exp.Expression], Callable[[exp.Expression], Written]] = {
            exp.Paren: lambda node: self.write(node.this),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Neg: self._negative,
            exp.Not: lambda node: Written(f"(NOT {self._of(node.this, Kind.TRUTH)})", Kind.TRUTH),
            exp.Is: self._is_null,
            exp.In: self._in,
            exp.Between: self._between,
            exp.DPipe: self._joined_texts,
            exp.Length: lambda node: Written(f"length({self._of(node.this, Kind.TEXT)})", Kind.NUMBER, "bigint"),
            exp.Lower: lambda node: Written(f"lower({self._of(node.this, Kind.TEXT)} {_BYTES})", Kind.TEXT),
            exp.Upper: lambda node: Written(f"upper({self._of(node.this, Kind.TEXT)} {_BYTES})", Kind.TEXT),
            exp.Coalesce: self._coalesce,
        }

    def write(self, node: exp.Expression) -> Written:
        """Write an expression.

        Raises:
            NotCertain: It may mean something else there.
        """
        of = type(node)
        if of in _COMPARED:
            return self._compared(node.this, _COMPARED[of], node.expression)
        if of in _JOINED:
            one, other = self._of(node.this, Kind.TRUTH), self._of(node.expression, Kind.TRUTH)
            return Written(f"({one} {_JOINED[of]} {other})", Kind.TRUTH)
        writer = self._writers.get(of)
        if writer is None:
            raise NotCertain(f"{node.sql(dialect='sqlite')} may have another value there")
        return writer(node)

    def condition(self, node: exp.Expression) -> str:
        """Write a condition. Raises `NotCertain`."""
        return self._of(node, Kind.TRUTH)

    def _of(self, node: exp.Expression, kind: Kind) -> str:
        found = self.write(node)
        if found.kind is not kind:
            raise NotCertain(f"{node.sql(dialect='sqlite')} is no {kind.value}")
        return found.sql

    def _column(self, node: exp.Expression) -> Written:
        column = self._columns.get(str(node.name).lower())
        if column is None or not isinstance(node.this, exp.Identifier):
            raise NotCertain(f"{node.name} is not a column that is stored")
        if column.type in _NUMBERS:
            return Written(quoted(column.name), Kind.NUMBER, column.type)
        if column.type == "boolean":
            return Written(quoted(column.name), Kind.FLAG)
        if column.type == "text" and column.is_plain:
            return Written(quoted(column.name), Kind.TEXT)
        raise NotCertain(f"values of {column.name} are compared in another way there")

    @staticmethod
    def _literal(node: exp.Expression) -> Written:
        text = str(node.this)
        if node.args.get("is_string"):
            return Written(literal(text), Kind.TEXT)
        if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST):
            raise NotCertain(f"the number {text} may be another one there")
        return Written(text, Kind.NUMBER)

    def _negative(self, node: exp.Expression) -> Written:
        if not isinstance(node.this, exp.Literal):
            raise NotCertain("arithmetic has other limits there")
        return Written(f"(-{self._of(node.this, Kind.NUMBER)})", Kind.NUMBER)

    def _compared(self, one: exp.Expression, operator: str, other: exp.Expression) -> Written:
        first, second = self.write(one), self.write(other)
        if first.kind is Kind.FLAG and second.sql in _FLAGS and operator in ("=", "<>"):
            return Written(f"({first.sql} {operator} {_FLAGS[second.sql]})", Kind.TRUTH)
        alike = first.kind is second.kind and first.kind in (Kind.NUMBER, Kind.TEXT)
        if not alike or (first.of and second.of and first.of != second.of):
            raise NotCertain(f"a {first.kind.value} and a {second.kind.value} are compared in another way there")
        by = f" {_BYTES}" if first.kind is Kind.TEXT else ""
        return Written(f"({first.sql}{by} {operator} {second.sql})", Kind.TRUTH)

    def _is_null(self, node: exp.Expression) -> Written:
        if not isinstance(node.expression, exp.Null):
            raise NotCertain("IS compares in another way there")
        known = self._columns.get(str(node.this.name).lower()) if isinstance(node.this, exp.Column) else None
        tested = self.write(node.this).sql if known is None else quoted(known.name)
        return Written(f"({tested} IS NULL)", Kind.TRUTH)

    def _in(self, node: exp.Expression) -> Written:
        values = node.args.get("expressions") or []
        if not values or any(node.args.get(name) for name in ("query", "unnest", "field")):
            raise NotCertain("IN is over something else than values")
        parts = [self._compared(node.this, "=", value).sql for value in values]
        return Written(f"({' OR '.join(parts)})", Kind.TRUTH)

    def _between(self, node: exp.Expression) -> Written:
        low = self._compared(node.this, ">=", node.args["low"]).sql
        high = self._compared(node.this, "<=", node.args["high"]).sql
        return Written(f"({low} AND {high})", Kind.TRUTH)

    def _joined_texts(self, node: exp.Expression) -> Written:
        one, other = self._of(node.this, Kind.TEXT), self._of(node.expression, Kind.TEXT)
        return Written(f"({one} || {other})", Kind.TEXT)

    def _coalesce(self, node: exp.Expression) -> Written:
        found = [self.write(one) for one in (node.this, *node.expressions)]
        if len(found) < 2 or any(one.kind is not Kind.TEXT for one in found):
            raise NotCertain("coalesce is over something else than texts")
        return Written(f"coalesce({', '.join(one.sql for one in found)})", Kind.TEXT)

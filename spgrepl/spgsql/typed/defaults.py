"""What a column holds that a statement says nothing of: a constant, or what every replica computes for itself."""

from __future__ import annotations

from typing import Any

from spgrepl.spg.ddl import literal
from spgrepl.spgsql.language.lexing import lex, literals_of
from spgrepl.spgsql.language.nodes import Call, Cast, Expression
from spgrepl.spgsql.language.statements import StatementReader
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.language.types import Family, family_of
from spgrepl.spgsql.typed.calls import SEQUENCES
from spgrepl.spgsql.typed.compiling import Compiling
from spgrepl.spgsql.typed.expressions import Compiler
from spgrepl.spgsql.typed.schema import ColumnInfo, TableInfo
from spgrepl.spgsql.typed.scopes import Scope
from spgrepl.text.sqltext import quote_name

CONSTANT = "constant_default"
"""The detail of a column that holds its default, as stored, where that was set or dropped by ALTER TABLE."""

RUNTIME = "runtime_default"
"""The detail of a column that holds the SQL of a default that is evaluated."""


def next_number(compiler: Compiling, table: TableInfo, column: ColumnInfo, what: str, many: bool = False) -> str:
    """The next number of a column that the master counts.

    Args:
        compiler: Notes it.
        table: The table.
        column: The column.
        what: What counts.
        many: Whether it is for the rows of a query, each of which gets another one.

    Raises:
        NotDeterministic: It may not be approximated.
    """
    compiler.not_deterministic(
        what, f"the number that {what} gave to {table.name}.{column.name} at the master is not in the statement"
    )
    if family_of(column.known) is not Family.INTEGER:
        raise StatementStopped(f"{what} in a column of type {column.known.label} is not translated")
    last = f"(SELECT coalesce(max({quote_name(column.name)}), 0) FROM {quote_name(table.name)})"
    return f"({last} + {'row_number() OVER ()' if many else '1'})"


def is_next_number(node: Expression) -> bool:
    """Whether an expression is ``nextval('…')``, with or without a cast around it."""
    while isinstance(node, Cast):
        node = node.operand
    return isinstance(node, Call) and node.name in SEQUENCES


def has_moving_default(column: ColumnInfo) -> bool:
    """Whether the default of a column is not a constant that SQLite knows."""
    return column.auto_increment or RUNTIME in column.details or CONSTANT in column.details


def default_of(compiler: Compiling, table: TableInfo, column: ColumnInfo, many: bool = False) -> str:
    """The default of a column, as an expression.

    Raises:
        NotDeterministic: It is the replica's own, and may not be approximated.
        StatementStopped: It is not known here.
    """
    details = column.details
    if column.auto_increment:
        what = "IDENTITY" if "identity" in details or details.get("identity_always") else "SERIAL"
        return next_number(compiler, table, column, what, many)
    if RUNTIME in details:
        return _evaluated(compiler, table, column, str(details[RUNTIME]), many)
    if CONSTANT in details:
        return literal(stored_default(details[CONSTANT]))
    return "NULL" if column.declared_default is None else f"({column.declared_default})"


def stored_default(value: Any) -> Any:
    """A default as it is kept in JSON: bytes are kept by their digits."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


def _evaluated(compiler: Compiling, table: TableInfo, column: ColumnInfo, sql: str, many: bool) -> str:
    try:
        tokens = lex(sql)
        reader = StatementReader(tokens)
        node = reader.expression()
        reader.expect_end()
    except StatementStopped as error:
        raise StatementStopped(
            f"the default of {table.name}.{column.name}, {sql}, is evaluated at the master: {error}"
        ) from error
    if is_next_number(node):
        return next_number(compiler, table, column, "nextval()", many)
    literals = literals_of(tokens)
    inner = Compiler(compiler.schema, literals, compiler.dialect, compiler.approximate, compiler.zones_differ)
    inner.target = compiler.target
    try:
        text = inner.value(node, Scope(), column.known)
    except NotDeterministic as error:
        raise NotDeterministic(error.what, f"the default of {table.name}.{column.name}, {sql}: {error}") from error
    except StatementStopped as error:
        raise StatementStopped(
            f"the default of {table.name}.{column.name}, {sql}, is evaluated at the master: {error}"
        ) from error
    compiler.approximated += [one for one in inner.approximated if one not in compiler.approximated]
    return compiler.adopt(text, inner.take_bindings(), literals)

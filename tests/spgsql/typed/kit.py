"""Expressions of the master, put in SQLite's words and asked of a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect, Literal, lex, literals_of
from spgrepl.spgsql.language.nodes import Expression
from spgrepl.spgsql.language.statements import StatementReader
from spgrepl.spgsql.typed.expressions import Compiler
from spgrepl.spgsql.typed.queries import QueryCompiler
from spgrepl.spgsql.typed.schema import Schema
from spgrepl.spgsql.typed.scopes import Rows, Scope
from tests.spgsql.copy import NOW, Copy


def read(text: str, dialect: Dialect = Dialect.POSTGRESQL) -> tuple[Expression, list[Literal]]:
    """An expression, and its literals."""
    tokens = lex(text, dialect)
    reader = StatementReader(tokens, dialect)
    node = reader.expression()
    reader.expect_end()
    return node, literals_of(tokens)


class Asked:
    """Asks expressions over the table ``t`` of a copy.

    Args:
        copy: The copy.
        dialect: Whose SQL the expressions are.
        approximate: Whether values of the replica's own are approximated.
    """

    def __init__(self, copy: Copy, dialect: Dialect = Dialect.POSTGRESQL, approximate: bool = False) -> None:
        self.connection = copy.connection
        self.schema = Schema(copy.connection)
        self.dialect = dialect
        self.approximate = approximate

    @property
    def scope(self) -> Scope:
        """The columns of ``t``."""
        return Scope((Rows.of_table(self.schema.table("t"), "t"),))

    def compiler(self, literals: Sequence[Literal]) -> Compiler:
        """What puts expressions with these literals in SQLite's words."""
        found = Compiler(self.schema, literals, self.dialect, self.approximate, False)
        QueryCompiler(found)
        return found

    def ask(self, text: str, put: Callable[[Compiler, Expression], str]) -> list[Any]:
        """What an expression is for each row, by what puts it in SQLite's words."""
        node, literals = read(text, self.dialect)
        compiler = self.compiler(literals)
        sql = put(compiler, node)
        values = [binding.value(literals, lambda: NOW) for binding in compiler.take_bindings()]
        return [row[0] for row in self.connection.execute(f"SELECT {sql} FROM t ORDER BY id", values)]

    def values(self, text: str, wanted: SpgType) -> list[Any]:
        """What an expression is for each row, as a value of a type."""
        return self.ask(text, lambda compiler, node: compiler.value(node, self.scope, wanted))

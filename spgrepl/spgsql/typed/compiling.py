"""What the parts of an expression ask of the compiler that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect, Literal
from spgrepl.spgsql.language.nodes import Const, Expression
from spgrepl.spgsql.typed.plan import Binding
from spgrepl.spgsql.typed.schema import Schema
from spgrepl.spgsql.typed.scopes import Scope
from spgrepl.spgsql.typed.typing_rules import Compiled


class Compiling(Protocol):
    """A compiler; `spgrepl.spgsql.typed.expressions.Compiler` says what these do."""

    schema: Schema
    dialect: Dialect
    approximate: bool
    zones_differ: bool
    target: str
    approximated: list[tuple[str, str]]

    def bind(self, binding: Binding) -> str:
        """Add a parameter."""

    def literal(self, const: Const) -> Literal:
        """The text of a literal."""

    def adopt(self, text: str, bindings: Sequence[Binding], literals: Sequence[Literal]) -> str:
        """Take over an expression with literals of its own."""

    def not_deterministic(self, what: str, why: str = "") -> None:
        """Note something whose value is the replica's own."""

    def compile(self, node: Expression, scope: Scope, hint: SpgType | None = None) -> Compiled:
        """An expression."""

    def typed(self, found: Compiled, hint: SpgType | None = None) -> Compiled:
        """An expression whose type is known."""

    def coerced(self, found: Compiled, wanted: SpgType) -> str:
        """An expression in the place of a value of a type."""

    def together(self, found: list[Compiled], hint: SpgType | None) -> SpgType:
        """The type that several expressions have together."""

"""What a statement's parameters are made of: literals by the type of their place, and the time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect, Literal, TokenKind
from spgrepl.spgsql.language.nodes import Const, Plain
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.language.types import BIGINT, BOOL, NUMERIC, TEXT, Family, family_of
from spgrepl.spgsql.language.values import Stored
from spgrepl.spgsql.typed import moments
from spgrepl.spgsql.typed.constants import convert_to, signed
from spgrepl.spgsql.typed.plan import Binding
from spgrepl.spgsql.typed.schema import LabelType, Schema
from spgrepl.spgsql.typed.typing_rules import Compiled, common, converted

Converter = Callable[[Literal], Stored]


def _always(value: Stored, _time: int) -> Stored:
    return value


def _label(labels: tuple[str, ...], convert: Converter, literal: Literal) -> Stored:
    """A label as it stands; a number, other letters and several labels become one by rules of the master."""
    value = convert(literal)
    if value not in labels or literal.kind is TokenKind.NUMBER:
        raise StatementStopped(f"{literal.text} is none of the labels {', '.join(labels)}: write the label itself")
    return value


class Parameters:
    """The parameters of a statement in SQLite's words, and what of it is the replica's own.

    Args:
        schema: What is known of the tables.
        literals: The literals of the statement.
        dialect: Whose SQL it is.
        approximate: Whether values that every replica computes for itself are approximated.
        zones_differ: Whether a session of the master has set a time zone that is not UTC.

    Attributes:
        bindings: The parameters so far.
        approximated: What was approximated: pairs of table and what.
        fixed: The numbers of the literals whose text was looked at.
        target: The table that the statement changes.
    """

    def __init__(
        self, schema: Schema, literals: Sequence[Literal], dialect: Dialect, approximate: bool, zones_differ: bool
    ) -> None:
        self.schema = schema
        self.dialect = dialect
        self.approximate = approximate
        self.zones_differ = zones_differ
        self.literals = literals
        self.bindings: list[Binding] = []
        self.approximated: list[tuple[str, str]] = []
        self.fixed: set[int] = set()
        self.target = ""

    # -- parameters and literals ------------------------------------------------------------------------------

    def bind(self, binding: Binding) -> str:
        """Add a parameter; returns its text."""
        self.bindings.append(binding)
        return f"?{len(self.bindings)}"

    def take_bindings(self) -> tuple[Binding, ...]:
        """The parameters so far, for a step that is complete."""
        found, self.bindings = tuple(self.bindings), []
        return found

    def adopt(self, text: str, bindings: Sequence[Binding], literals: Sequence[Literal]) -> str:
        """An expression that was put in SQLite's words with literals of its own, as a part of this statement."""
        for number in range(len(bindings), 0, -1):
            binding = bindings[number - 1]
            if binding.convert is not None:
                value = binding.convert(literals[binding.slot])
                binding = Binding(-1, of_time=partial(_always, value))
            self.bindings.append(binding)
            text = re.sub(rf"\?{number}\b", f"?{len(self.bindings)}_", text)
        return re.sub(r"(\?[0-9]+)_", r"\1", text)

    def literal(self, const: Const) -> Literal:
        """The text of a literal, which is a part of the plan from now on."""
        self.fixed.add(const.slot)
        return signed(self.literals[const.slot], const.negated)

    def not_deterministic(self, what: str, why: str = "") -> None:
        """Note something whose value is the replica's own, where that was allowed.

        Raises:
            NotDeterministic: It was not.
        """
        if not self.approximate:
            why = why or f"{what} has another value here than it had at the master"
            raise NotDeterministic(what, f"{why} (--nondeterministic approximate allows it)")
        if (self.target, what) not in self.approximated:
            self.approximated.append((self.target, what))

    def constant(self, literal: Const | Plain, kind: SpgType, convert: Converter | None = None) -> str:
        """A literal in the place of a value of a type."""
        if isinstance(literal, Plain):
            return self._plain(literal.value, kind)
        if convert is None:
            convert = partial(convert_to, kind, literal.negated)
            if family_of(kind) is Family.TIMESTAMPTZ and self.zones_differ:
                convert = partial(moments.with_zone, convert)
            if isinstance(kind, LabelType) and kind.labels:
                convert = partial(_label, kind.labels, convert)
        return self.bind(Binding(literal.slot, convert))

    def _plain(self, value: bool | None, kind: SpgType) -> str:
        family = family_of(kind)
        if value is None:
            return "NULL"
        if family is Family.BOOL or (self.dialect is Dialect.MYSQL and family is Family.INTEGER):
            return str(int(value))
        if family is Family.TEXT:
            return converted(str(int(value)), BOOL, kind)
        raise StatementStopped(f"what SPG stores for {str(value).upper()} as {kind.label} is not known here")

    def coerced(self, found: Compiled, wanted: SpgType) -> str:
        """An expression in the place of a value of a type."""
        if found.literal is not None:
            return self.constant(found.literal, wanted)
        assert found.type is not None
        return converted(found.sql, found.type, wanted)

    def typed(self, found: Compiled, hint: SpgType | None = None) -> Compiled:
        """An expression whose type is known: that of a literal is the hint, or by its looks."""
        if found.type is not None:
            return found
        assert found.literal is not None
        kind = hint or self._looks_like(found.literal)
        return Compiled(self.coerced(found, kind), kind, found.literal)

    def _looks_like(self, literal: Const | Plain) -> SpgType:
        if isinstance(literal, Plain):
            return TEXT if literal.value is None else BOOL
        text = self.literal(literal)
        if text.kind is TokenKind.STRING:
            return TEXT
        return BIGINT if text.text.lstrip("-").isdigit() else NUMERIC

    def together(self, found: list[Compiled], hint: SpgType | None) -> SpgType:
        """The type that several expressions have together."""
        kinds = [one.type for one in found if one.type is not None]
        kind = common(kinds) or hint
        if kind is None:
            kind = common([self._looks_like(one.literal) for one in found if one.literal is not None])
        return kind or TEXT

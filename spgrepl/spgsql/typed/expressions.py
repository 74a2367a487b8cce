"""Expressions by their types, put in SQLite's words: what has another meaning there is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from spgrepl.spg.values.bodies import json_text
from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect, TokenKind
from spgrepl.spgsql.language.nodes import (
    Array,
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Column,
    Const,
    Exists,
    Expression,
    In,
    Like,
    Plain,
    Scalar,
    Select,
    Unary,
)
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import (
    BIGINT,
    BOOL,
    FLOAT,
    NUMERIC,
    TEXT,
    Family,
    element_of,
    family_of,
    type_of,
)
from spgrepl.spgsql.language.values import element_value, vector_text
from spgrepl.spgsql.typed import calls, moments
from spgrepl.spgsql.typed.constants import compared_integer, compared_real
from spgrepl.spgsql.typed.parameters import Parameters
from spgrepl.spgsql.typed.plan import Binding
from spgrepl.spgsql.typed.schema import LabelType
from spgrepl.spgsql.typed.scopes import Scope
from spgrepl.spgsql.typed.typing_rules import Compiled, common, comparison, converted

_ARITHMETIC = {"+": "spgrepl_add", "-": "spgrepl_subtract", "*": "spgrepl_multiply"}


class Compiler(Parameters):
    """Puts expressions in SQLite's words. One for each statement.

    Attributes:
        query: Puts a query in SQLite's words; `spgrepl.spgsql.typed.queries` gives it.
    """

    query: Callable[[Select, Scope | None, list[SpgType] | None], tuple[str, list[SpgType]]]

    # -- expressions ------------------------------------------------------------------------------------------

    def value(self, node: Expression, scope: Scope, wanted: SpgType) -> str:
        """An expression, in the place of a value of a type."""
        return self.coerced(self.compile(node, scope, wanted), wanted)

    def condition(self, node: Expression, scope: Scope) -> str:
        """An expression that is true or not."""
        found = self.compile(node, scope, BOOL)
        if found.literal is not None:
            return self.constant(found.literal, BOOL)
        if found.type != BOOL:
            raise StatementStopped("a condition that is not of type BOOL is not translated")
        return found.sql

    def compile(self, node: Expression, scope: Scope, hint: SpgType | None = None) -> Compiled:
        """An expression.

        Args:
            node: The expression.
            scope: The columns that it may name.
            hint: The type that is wanted of it, for literals that could be of any.

        Raises:
            StatementStopped: It is not known here.
        """
        if isinstance(node, Const | Plain):
            return Compiled("", None, node)
        if isinstance(node, Column):
            return scope.column(node.table, node.name)
        if isinstance(node, Unary):
            return self._unary(node, scope, hint)
        if isinstance(node, Binary):
            return self._binary(node, scope, hint)
        if isinstance(node, Between):
            low = self._compare(">=", node.operand, node.low, scope)
            high = self._compare("<=", node.operand, node.high, scope)
            return Compiled(f"({'NOT ' if node.negated else ''}({low} AND {high}))", BOOL)
        if isinstance(node, In):
            return self._in(node, scope)
        if isinstance(node, Like):
            return self._like(node, scope)
        if isinstance(node, Case):
            return self._case(node, scope, hint)
        if isinstance(node, Cast):
            return self._cast(node, scope)
        if isinstance(node, Array):
            return self._array(node, hint)
        if isinstance(node, Exists | Scalar):
            return self._query(node, scope, hint)
        if isinstance(node, Call):
            return calls.call(self, node, scope, hint)
        raise StatementStopped(f"{type(node).__name__.upper()} is not understood here")

    def _query(self, node: Exists | Scalar, scope: Scope, hint: SpgType | None) -> Compiled:
        if isinstance(node, Exists):
            return Compiled(f"EXISTS ({self.query(node.query, scope, None)[0]})", BOOL)
        text, kinds = self.query(node.query, scope, None if hint is None else [hint])
        if len(kinds) != 1:
            raise StatementStopped("a query in the place of a value has one column")
        return Compiled(f"({text})", kinds[0])

    def _unary(self, node: Unary, scope: Scope, hint: SpgType | None) -> Compiled:
        if node.operator == "NOT":
            return Compiled(f"(NOT {self.condition(node.operand, scope)})", BOOL)
        if node.operator in ("IS NULL", "IS NOT NULL"):
            found = self.typed(self.compile(node.operand, scope))
            return Compiled(f"({found.sql} {node.operator})", BOOL)
        found = self.typed(self.compile(node.operand, scope, hint), hint)
        assert found.type is not None
        if family_of(found.type) is Family.NUMERIC:
            return Compiled(f"spgrepl_subtract('0', {found.sql})", NUMERIC)
        if family_of(found.type) not in (Family.INTEGER, Family.FLOAT, Family.REAL):
            raise StatementStopped(f"a minus sign before {found.type.label} is not translated")
        return Compiled(f"(- {found.sql})", found.type)

    def _binary(self, node: Binary, scope: Scope, hint: SpgType | None) -> Compiled:
        operator = node.operator
        if operator in ("AND", "OR"):
            return Compiled(
                f"({self.condition(node.left, scope)} {operator} {self.condition(node.right, scope)})", BOOL
            )
        if operator in ("=", "<>", "<", ">", "<=", ">=", "IS", "IS NOT"):
            return Compiled(self._compare(operator, node.left, node.right, scope), BOOL)
        if operator == "||":
            return self._concatenated(node, scope)
        if operator in ("+", "-"):
            moment = moments.shifted(self, node, hint)
            if moment is not None:
                return moment
        return self._arithmetic(node, scope, hint)

    # -- comparisons ------------------------------------------------------------------------------------------

    def _compare(self, operator: str, one: Expression, other: Expression, scope: Scope) -> str:
        if isinstance(other, Column) and not isinstance(one, Column):
            right = self.compile(other, scope)
            left = self.compile(one, scope, moments.compared_as(self, one, right.type))
        else:
            left = self.compile(one, scope)
            right = self.compile(other, scope, moments.compared_as(self, other, left.type))
        return comparison(operator, self._beside(left, right), self._beside(right, left))

    def _beside(self, found: Compiled, other: Compiled) -> Compiled:
        """A literal as it is compared with what stands beside it."""
        literal, kind = found.literal, other.type
        if found.type is not None or literal is None:
            return found
        if kind is None:
            return self.typed(found, BOOL if isinstance(literal, Plain) and literal.value is not None else None)
        family = family_of(kind)
        if isinstance(literal, Const):
            if family is Family.INTEGER:
                kind, convert = BIGINT, partial(compared_integer, literal.negated)
                return Compiled(self.constant(literal, kind, convert), kind, literal)
            if family is Family.REAL:
                convert = partial(compared_real, literal.negated)
                return Compiled(self.constant(literal, kind, convert), kind, literal)
            if family is Family.NUMERIC:
                kind = NUMERIC
            elif family is Family.TEXT:
                if self.literals[literal.slot].kind is TokenKind.NUMBER:
                    raise StatementStopped("how a text and a number are compared is not known here")
                kind = kind if isinstance(kind, LabelType) else TEXT
        return Compiled(self.constant(literal, kind), kind, literal)

    def _in(self, node: In, scope: Scope) -> Compiled:
        operand = self.compile(node.operand, scope)
        if operand.literal is not None:
            raise StatementStopped("a literal before IN is not translated")
        assert operand.type is not None
        negation = "NOT " if node.negated else ""
        if node.query is not None:
            text, kinds = self.query(node.query, scope, [operand.type])
            plain = (Family.INTEGER, Family.TEXT, Family.UUID, Family.BYTEA, Family.BOOL)
            if (
                len(kinds) != 1
                or family_of(kinds[0]) is not family_of(operand.type)
                or family_of(kinds[0]) not in plain
            ):
                raise StatementStopped(
                    f"how {operand.type.label} is compared with what a query finds is not known here"
                )
            return Compiled(f"({operand.sql} {negation}IN ({text}))", BOOL)
        items = [self._beside(self.compile(item, scope), operand) for item in node.items]
        tests = [comparison("=", operand, item) for item in items]
        if all(item.literal is not None for item in items) and all(" COLLATE " not in test for test in tests):
            return Compiled(f"({operand.sql} {negation}IN ({', '.join(item.sql for item in items)}))", BOOL)
        return Compiled(f"({negation}({' OR '.join(tests)}))", BOOL)

    def _like(self, node: Like, scope: Scope) -> Compiled:
        sides = []
        for one in (node.operand, node.pattern):
            found = self.typed(self.compile(one, scope, TEXT), TEXT)
            if found.type is None or family_of(found.type) is not Family.TEXT:
                raise StatementStopped("LIKE of what is not a text is not translated")
            sides.append(found.sql)
        escape = "'\\'" if node.escape is None else self.value(node.escape, scope, TEXT)
        text = f"spgrepl_like({sides[0]}, {sides[1]}, {escape}, {int(node.ignore_case)})"
        return Compiled(f"(NOT {text})" if node.negated else f"({text})", BOOL)

    # -- arithmetic and texts ---------------------------------------------------------------------------------

    def _arithmetic(self, node: Binary, scope: Scope, hint: SpgType | None) -> Compiled:
        left, right = self.compile(node.left, scope, hint), self.compile(node.right, scope, hint)
        if left.type is None and right.type is None:
            left, right = self.typed(left), self.typed(right)
        first, second = self._operand(left, right), self._operand(right, left)
        assert first.type is not None
        assert second.type is not None
        families = {family_of(first.type), family_of(second.type)}
        if families == {Family.INTEGER}:
            if node.operator == "/" and self.dialect is Dialect.MYSQL:
                raise StatementStopped("how MySQL divides whole numbers is not translated")
            kind = common([first.type, second.type])
            return Compiled(f"spgrepl_whole({first.sql} {node.operator} {_divisor(node, second.sql)}, 64)", kind)
        if families <= {Family.INTEGER, Family.NUMERIC} and node.operator in _ARITHMETIC:
            one, other = converted(first.sql, first.type, NUMERIC), converted(second.sql, second.type, NUMERIC)
            return Compiled(f"{_ARITHMETIC[node.operator]}({one}, {other})", NUMERIC)
        if families <= {Family.INTEGER, Family.FLOAT} and node.operator != "%":
            one, other = converted(first.sql, first.type, FLOAT), converted(second.sql, second.type, FLOAT)
            other = _divisor(node, f"spgrepl_ordered({other})")
            return Compiled(f"(spgrepl_ordered({one}) {node.operator} {other})", FLOAT)
        if families == {Family.REAL} and node.operator != "%" and not (left.literal or right.literal):
            other = _divisor(node, f"spgrepl_ordered({second.sql})")
            return Compiled(f"spgrepl_real(spgrepl_ordered({first.sql}) {node.operator} {other})", first.type)
        raise StatementStopped(
            f"{first.type.label} {node.operator} {second.type.label} is not translated: write the value itself"
        )

    def _operand(self, found: Compiled, other: Compiled) -> Compiled:
        if found.type is not None:
            return found
        assert found.literal is not None
        assert other.type is not None
        if family_of(other.type) in (Family.FLOAT, Family.REAL) and isinstance(found.literal, Const):
            return self.typed(found, FLOAT)
        return self.typed(found, None)

    def _concatenated(self, node: Binary, scope: Scope) -> Compiled:
        sides = []
        for one in (node.left, node.right):
            found = self.typed(self.compile(one, scope, TEXT), TEXT)
            assert found.type is not None
            if family_of(found.type) not in (Family.TEXT, Family.INTEGER):
                raise StatementStopped(f"{found.type.label} with || is not translated")
            sides.append(converted(found.sql, found.type, TEXT))
        return Compiled(f"({sides[0]} || {sides[1]})", TEXT)

    def _case(self, node: Case, scope: Scope, hint: SpgType | None) -> Compiled:
        parts = ["CASE"]
        conditions = []
        for condition, _ in node.whens:
            if node.operand is None:
                conditions.append(self.condition(condition, scope))
            else:
                conditions.append(self._compare("=", node.operand, condition, scope))
        outcomes = [self.compile(outcome, scope, hint) for _, outcome in node.whens]
        if node.otherwise is not None:
            outcomes.append(self.compile(node.otherwise, scope, hint))
        kind = self.together(outcomes, hint)
        for test, outcome in zip(conditions, outcomes, strict=False):
            parts.append(f"WHEN {test} THEN {self.coerced(outcome, kind)}")
        if node.otherwise is not None:
            parts.append(f"ELSE {self.coerced(outcomes[-1], kind)}")
        return Compiled(f"({' '.join(parts)} END)", kind)

    # -- types ------------------------------------------------------------------------------------------------

    def _cast(self, node: Cast, scope: Scope) -> Compiled:
        kind = type_of(node.type, self.dialect, self.schema.file_version)
        if kind is None:
            if not self.schema.objects("enums", node.type.name):
                raise StatementStopped(f"the type {node.type.name} is not known here")
            kind = TEXT
        if isinstance(node.operand, Array):
            return self._array(node.operand, kind)
        found = self.compile(node.operand, scope, kind)
        if found.literal is not None and kind.tag == 62 and not kind.parameters:
            raise StatementStopped("a cast to BIT VARYING is not translated")
        if found.literal is None and found.type is not None:
            one, other = family_of(found.type), family_of(kind)
            if one is other and one is Family.TEXT and kind.parameters:
                raise StatementStopped(f"a cast to {kind.label}, which cuts, is not translated")
        return Compiled(self.coerced(found, kind), kind)

    def _array(self, node: Array, hint: SpgType | None) -> Compiled:
        if hint is None or family_of(hint) not in (Family.ARRAY, Family.VECTOR):
            raise StatementStopped("an ARRAY whose type is not known is not translated")
        if family_of(hint) is Family.VECTOR:
            numbers = self._plain_items(node, FLOAT, 1)
            return Compiled(self.bind(Binding(-1, of_time=lambda _: vector_text(numbers, hint))), hint)
        element, depth = element_of(hint)
        text = json_text(self._plain_items(node, element, depth))
        return Compiled(self.bind(Binding(-1, of_time=lambda _: text)), hint)

    def _plain_items(self, node: Array, element: SpgType, depth: int) -> list[object]:
        found: list[object] = []
        for one in node.items:
            item = one.operand if isinstance(one, Cast) and isinstance(one.operand, Const | Plain) else one
            if isinstance(item, Array):
                if depth < 2:
                    raise StatementStopped("an array in an array of one dimension is not translated")
                found.append(self._plain_items(item, element, depth - 1))
            elif isinstance(item, Plain):
                found.append(None if item.value is None else self._plain_item(item.value, element))
            elif isinstance(item, Const):
                found.append(element_value(self.literal(item), element))
            else:
                raise StatementStopped("an ARRAY of other things than literals is not translated")
        return found

    @staticmethod
    def _plain_item(value: bool, element: SpgType) -> object:
        if family_of(element) is not Family.BOOL:
            raise StatementStopped(f"TRUE or FALSE as {element.label} is not known here")
        return value


def _divisor(node: Binary, sql: str) -> str:
    """The second operand; SQLite makes NULL of what is divided by zero."""
    return f"spgrepl_divisor({sql})" if node.operator in ("/", "%") else sql

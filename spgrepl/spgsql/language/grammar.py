"""Expressions of PostgreSQL's and MySQL's SQL, as far as they are understood; all else is refused by name."""

from __future__ import annotations

from collections.abc import Callable

from spgrepl.spgsql.language.lexing import LITERALS, Dialect, TokenKind
from spgrepl.spgsql.language.nodes import (
    Array,
    Between,
    Binary,
    Call,
    Case,
    Cast,
    Column,
    Const,
    Default,
    Exists,
    Expression,
    In,
    Like,
    Plain,
    Scalar,
    Select,
    Star,
    TypeName,
    Unary,
)
from spgrepl.spgsql.language.stops import NotUnderstood, StatementStopped
from spgrepl.spgsql.language.token_reader import PUBLIC, TokenReader

_COMPARISONS = {"=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "<>": "<>", "!=": "<>"}
_NOW = frozenset(
    "current_timestamp current_date current_time localtimestamp localtime current_user session_user user "
    "current_role current_catalog current_schema".split()
)
_LONGER_TYPES = {
    ("double", "precision"): "double precision",
    ("character", "varying"): "character varying",
    ("char", "varying"): "character varying",
    ("bit", "varying"): "bit varying",
    ("national", "character"): "character",
}
_BEFORE_A_STRING = frozenset(
    "date time timestamp timestamptz timetz interval bytea uuid json jsonb numeric inet cidr vector bool boolean "
    "text money macaddr".split()
)
_NOT_A_NAME = frozenset(
    "select from where and or not in is like between case when then else end order group having limit offset "
    "union intersect except returning on using set values default into join left right full inner cross natural "
    "as null true false cast exists array any all some distinct for window fetch with".split()
)
_DEEPEST = 60


class ExpressionReader(TokenReader):
    """Reads expressions. Queries are `spgrepl.spgsql.language.statements`'s, which says how one is read."""

    read_query: Callable[[], Select]

    _depth = 0

    def expression(self) -> Expression:
        """Read an expression."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise NotUnderstood(f"it is nested more than {_DEEPEST} levels deep")
        try:
            return self._or()
        finally:
            self._depth -= 1

    def expressions(self) -> tuple[Expression, ...]:
        """Read expressions with commas between them."""
        found = [self.expression()]
        while self.accept_operator(","):
            found.append(self.expression())
        return tuple(found)

    def value(self) -> Expression:
        """Read an expression, or DEFAULT."""
        return Default() if self.accept("default") else self.expression()

    # -- by precedence ----------------------------------------------------------------------------------------

    def _or(self) -> Expression:
        left = self._and()
        while self.accept("or") or (self.dialect is Dialect.MYSQL and self.accept_operator("||")):
            left = Binary("OR", left, self._and())
        return left

    def _and(self) -> Expression:
        left = self._not()
        while self.accept("and") or (self.dialect is Dialect.MYSQL and self.accept_operator("&&")):
            left = Binary("AND", left, self._not())
        return left

    def _not(self) -> Expression:
        count = 0
        while self.accept("not"):
            count += 1
        found = self._is()
        for _ in range(count):
            found = Unary("NOT", found)
        return found

    def _is(self) -> Expression:
        left = self._comparison()
        while True:
            if self.accept("isnull"):
                left = Unary("IS NULL", left)
            elif self.accept("notnull"):
                left = Unary("IS NOT NULL", left)
            elif self.accept("is"):
                negated = self.accept("not")
                if self.accept("null"):
                    left = Unary("IS NOT NULL" if negated else "IS NULL", left)
                elif self.is_word("true", "false"):
                    operator = "IS NOT" if negated else "IS"
                    left = Binary(operator, left, Plain(self.step().text == "true"))
                else:
                    self.expect("distinct", "from")
                    left = Binary("IS" if negated else "IS NOT", left, self._comparison())
            else:
                return left

    def _comparison(self) -> Expression:
        left = self._range()
        while self.now.kind is TokenKind.OPERATOR and self.now.text in _COMPARISONS:
            operator = _COMPARISONS[self.step().text]
            if self.is_word("any", "some", "all"):
                left = self._any(operator, left)
            else:
                left = Binary(operator, left, self._range())
        return left

    def _any(self, operator: str, left: Expression) -> Expression:
        """``= ANY (ARRAY[…])`` and ``= ANY (query)``, which say the same as IN."""
        word = self.step().text
        self.expect_operator("(")
        if operator == "=" and word != "all":
            if self.is_word("select", "with", "values"):
                query = self.read_query()
                self.expect_operator(")")
                return In(left, (), query, False)
            inner = self.expression()
            self.expect_operator(")")
            if isinstance(inner, Array):
                return In(left, inner.items, None, False)
        raise NotUnderstood(f"{operator} {word.upper()} is not translated")

    def _range(self) -> Expression:
        left = self._concatenation()
        while True:
            negated = self.is_word("not") and self.ahead().text in ("between", "in", "like", "ilike")
            if negated:
                self.step()
            if self.accept("between"):
                low = self._concatenation()
                self.expect("and")
                left = Between(left, low, self._concatenation(), negated)
            elif self.accept("in"):
                left = self._in(left, negated)
            elif self.is_word("like", "ilike"):
                ignore_case = self.step().text == "ilike" or self.dialect is Dialect.MYSQL
                pattern = self._concatenation()
                escape = self._concatenation() if self.accept("escape") else None
                left = Like(left, pattern, escape, ignore_case, negated)
            else:
                return left

    def _in(self, left: Expression, negated: bool) -> Expression:
        self.expect_operator("(")
        if self.is_word("select", "with", "values"):
            found = In(left, (), self.read_query(), negated)
        else:
            found = In(left, self.expressions(), None, negated)
        self.expect_operator(")")
        return found

    def _concatenation(self) -> Expression:
        left = self._sum()
        while self.dialect is Dialect.POSTGRESQL and self.accept_operator("||"):
            left = Binary("||", left, self._sum())
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while self.is_operator("+", "-"):
            left = Binary(self.step().text, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._signed()
        while self.is_operator("*", "/", "%"):
            left = Binary(self.step().text, left, self._signed())
        return left

    def _signed(self) -> Expression:
        if self.accept_operator("+"):
            return self._signed()
        if self.accept_operator("-"):
            operand = self._signed()
            if isinstance(operand, Const):
                return Const(operand.slot, not operand.negated)
            return Unary("-", operand)
        return self._cast(self._primary())

    def _cast(self, operand: Expression) -> Expression:
        while self.accept_operator("::"):
            operand = Cast(operand, self.type_name())
        return operand

    # -- what binds most --------------------------------------------------------------------------------------

    def _primary(self) -> Expression:
        token = self.now
        if token.kind in LITERALS:
            return Const(self.step().slot)
        if self.accept_operator("*"):
            return Star()
        if self.accept_operator("("):
            return self._in_parentheses()
        if token.kind is TokenKind.WORD:
            found = self._word(token.text)
            if found is not None:
                return found
        if token.kind is TokenKind.NAME or (token.kind is TokenKind.WORD and token.text not in _NOT_A_NAME):
            return self._named()
        raise self.unexpected("a value")

    def _in_parentheses(self) -> Expression:
        if self.is_word("select", "with", "values"):
            query = self.read_query()
            self.expect_operator(")")
            return Scalar(query)
        found = self.expression()
        if self.is_operator(","):
            raise NotUnderstood("a row of several values in parentheses is not translated")
        self.expect_operator(")")
        return found

    def _word(self, word: str) -> Expression | None:
        """What begins with a word that is not a name; None where it is one."""
        if word in ("null", "true", "false"):
            self.step()
            return Plain({"null": None, "true": True, "false": False}[word])
        if word == "case":
            return self._case()
        if word == "cast" and self.ahead().text == "(":
            self.step()
            self.step()
            operand = self.expression()
            self.expect("as")
            kind = self.type_name()
            self.expect_operator(")")
            return Cast(operand, kind)
        if word == "exists":
            self.step()
            self.expect_operator("(")
            query = self.read_query()
            self.expect_operator(")")
            return Exists(query)
        if word == "array" and self.ahead().text == "[":
            self.step()
            return self._array()
        if word == "values" and self.dialect is Dialect.MYSQL:
            self.step()
            return self._call(word)
        if word in _BEFORE_A_STRING:
            return self._typed_string()
        return None

    def _typed_string(self) -> Expression | None:
        place = self.place
        try:
            kind = self.type_name()
        except StatementStopped:
            self.place = place
            return None
        if self.now.kind is not TokenKind.STRING:
            self.place = place
            return None
        found = Cast(Const(self.step().slot), kind)
        if kind.name == "interval" and self.is_word("year", "month", "day", "hour", "minute", "second"):
            raise NotUnderstood("an INTERVAL with a field after it is not translated")
        return found

    def _array(self) -> Expression:
        self.expect_operator("[")
        items: tuple[Expression, ...] = ()
        if not self.is_operator("]"):
            found = [self._item()]
            while self.accept_operator(","):
                found.append(self._item())
            items = tuple(found)
        self.expect_operator("]")
        return Array(items)

    def _item(self) -> Expression:
        return self._array() if self.is_operator("[") else self.expression()

    def _case(self) -> Expression:
        self.expect("case")
        operand = None if self.is_word("when") else self.expression()
        whens = []
        while self.accept("when"):
            condition = self.expression()
            self.expect("then")
            whens.append((condition, self.expression()))
        otherwise = self.expression() if self.accept("else") else None
        self.expect("end")
        return Case(operand, tuple(whens), otherwise)

    def _named(self) -> Expression:
        parts = [self.step()]
        while self.is_operator("."):
            self.step()
            if self.accept_operator("*"):
                return Star(parts[-1].text)
            if self.now.kind not in (TokenKind.WORD, TokenKind.NAME):
                raise self.unexpected("a name")
            parts.append(self.step())
        names = [part.text for part in parts]
        if self.is_operator("("):
            if len(names) > 1 and names[0] not in ("pg_catalog", PUBLIC):
                raise NotUnderstood(f"the function {'.'.join(names)}() is not known here")
            return self._call(names[-1])
        if len(names) == 1 and parts[0].kind is TokenKind.WORD and names[0] in _NOW:
            return Call(names[0], ())
        if len(names) == 3 and names[0] == PUBLIC:
            names = names[1:]
        if len(names) > 2:
            raise NotUnderstood(f"the name {'.'.join(names)} is not translated")
        return Column(names[0] if len(names) == 2 else "", names[-1])

    def _call(self, name: str) -> Expression:
        self.expect_operator("(")
        distinct = self.accept("distinct")
        if self.accept_operator("*"):
            self.expect_operator(")")
            found = Call(name, (), star=True)
        elif self.accept_operator(")"):
            found = Call(name, ())
        else:
            found = Call(name, self.expressions(), distinct=distinct)
            self.expect_operator(")")
        if self.is_word("over", "filter", "within"):
            raise NotUnderstood(f"{name}() {self.now.text.upper()} is not translated")
        return found

    # -- types ------------------------------------------------------------------------------------------------

    def type_name(self) -> TypeName:
        """Read the name of a type, with its numbers."""
        name = self.name()
        longer = _LONGER_TYPES.get((name, self.now.text if self.now.kind is TokenKind.WORD else ""))
        if longer is not None:
            self.step()
            name = longer
            if longer == "character" and self.accept("varying"):
                name = "character varying"
        while self.accept_operator("."):
            schema, name = name, self.name()
            if schema not in (PUBLIC, "pg_catalog"):
                raise NotUnderstood(f"the type {schema}.{name} is not known here")
        parameters: list[int] = []
        if self.accept_operator("("):
            if self.now.kind is TokenKind.STRING:
                raise NotUnderstood(f"the type {name.upper()} with labels is not translated")
            parameters.append(self.fixed_number())
            while self.accept_operator(","):
                parameters.append(self.fixed_number())
            self.expect_operator(")")
        if name in ("time", "timestamp"):
            if self.accept("with", "time", "zone"):
                name += "tz"
            else:
                self.accept("without", "time", "zone")
        using = ""
        if name == "vector" and self.is_word("using") and self.ahead().text in ("half", "sq8"):
            self.step()
            using = self.step().text
        dimensions = 0
        while self.accept_operator("["):
            if not self.is_operator("]"):
                self.fixed_number()
            self.expect_operator("]")
            dimensions += 1
        if self.is_word("array") and not dimensions:
            self.step()
            dimensions = 1
        return TypeName(name, tuple(parameters), dimensions, using)

"""Statements that change rows, and queries, read as far as they are understood."""

from __future__ import annotations

from spgrepl.spgsql.language.grammar import ExpressionReader
from spgrepl.spgsql.language.lexing import Dialect, TokenKind
from spgrepl.spgsql.language.nodes import (
    Conflict,
    Delete,
    Expression,
    Insert,
    Order,
    Select,
    Source,
    Star,
    Statement,
    TableName,
    Truncate,
    Update,
)
from spgrepl.spgsql.language.stops import NotUnderstood

_AFTER_A_TABLE = frozenset(
    "set where on using inner left right full cross natural join order group having limit offset union "
    "intersect except returning values select default overriding for as fetch window tablesample with "
    "low_priority ignore into from".split()
)
_Ctes = tuple[tuple[str, Select], ...]


class StatementReader(ExpressionReader):
    """Reads one statement."""

    def read(self) -> Statement:
        """Read it to its end.

        Raises:
            StatementStopped: It is not understood.
        """
        found = self._statement()
        self.accept_operator(";")
        self.expect_end()
        return found

    def _statement(self) -> Statement:
        ctes = self._with() if self.is_word("with") else ()
        if self.is_word("insert", "replace"):
            return self._insert(ctes)
        if self.accept("update"):
            return self._update(ctes)
        if self.accept("delete"):
            return self._delete(ctes)
        if self.accept("truncate"):
            return self._truncate()
        if self.is_word("select"):
            return self._select(ctes)
        raise self.unexpected("INSERT, UPDATE, DELETE, TRUNCATE or SELECT")

    def _with(self) -> _Ctes:
        self.expect("with")
        if self.is_word("recursive"):
            raise NotUnderstood("WITH RECURSIVE is not translated")
        found = []
        while True:
            name = self.name()
            if self.is_operator("("):
                raise NotUnderstood("a WITH that names columns is not translated")
            self.expect("as")
            if not self.accept("materialized"):
                self.accept("not", "materialized")
            self.expect_operator("(")
            if not self.is_word("select", "with", "values"):
                raise NotUnderstood("a WITH that changes rows itself is not translated")
            found.append((name, self.read_query()))
            self.expect_operator(")")
            if not self.accept_operator(","):
                return tuple(found)

    # -- changes ----------------------------------------------------------------------------------------------

    def _target(self, verb: str) -> TableName:
        self.accept("only")
        name = self.table_name()
        self.accept_operator("*")
        return TableName(name, self._alias(verb))

    def _alias(self, _verb: str = "") -> str:
        if self.accept("as"):
            return self.name()
        if self.now.kind is TokenKind.NAME:
            return self.name()
        if self.now.kind is TokenKind.WORD and self.now.text not in _AFTER_A_TABLE:
            return self.name()
        return ""

    def _insert(self, ctes: _Ctes) -> Insert:
        replace = self.step().text == "replace"
        if self.is_word("ignore", "low_priority", "delayed", "high_priority"):
            raise NotUnderstood(f"INSERT {self.now.text.upper()} is not translated")
        if not self.accept("into") and self.dialect is Dialect.POSTGRESQL:
            raise self.unexpected("INTO")
        name = self.table_name()
        alias = self.name() if self.accept("as") else ""
        columns = None
        if self.is_operator("(") and self.ahead().text not in ("select", "with", "values"):
            columns = self.names()
        overriding = ""
        if self.accept("overriding"):
            overriding = self.name().upper()
            self.expect("value")
        query: Select | None
        if self.accept("default", "values"):
            query = None
        elif self.dialect is Dialect.MYSQL and self.accept("set"):
            assigned = self._assignments()
            columns, query = (
                tuple(column for column, _ in assigned),
                Select(values=(tuple(value for _, value in assigned),)),
            )
        else:
            query = self.read_query(self.dialect is Dialect.MYSQL)
        conflict = self._conflict()
        self._returning()
        return Insert(TableName(name, alias), columns, query, conflict, replace, overriding, ctes)

    def _conflict(self) -> Conflict | None:
        if self.dialect is Dialect.MYSQL:
            if not self.accept("on"):
                return None
            self.expect("duplicate", "key", "update")
            return Conflict((), "", self._assignments(), None)
        if not self.accept("on", "conflict"):
            return None
        columns: tuple[str, ...] = ()
        constraint = ""
        if self.is_operator("("):
            columns = self.names()
            if self.is_word("where"):
                raise NotUnderstood("ON CONFLICT with the condition of an index is not translated")
        elif self.accept("on", "constraint"):
            constraint = self.name()
        self.expect("do")
        if self.accept("nothing"):
            return Conflict(columns, constraint, None, None)
        self.expect("update", "set")
        assignments = self._assignments()
        return Conflict(columns, constraint, assignments, self._where())

    def _assignments(self) -> tuple[tuple[str, Expression], ...]:
        found: list[tuple[str, Expression]] = []
        while True:
            if self.is_operator("("):
                names = self.names()
                self.expect_operator("=")
                self.accept("row")
                self.expect_operator("(")
                values = [self.value()]
                while self.accept_operator(","):
                    values.append(self.value())
                self.expect_operator(")")
                if len(names) != len(values):
                    raise NotUnderstood("a SET of several columns from a query is not translated")
                found += zip(names, values, strict=True)
            else:
                name = self.name()
                while self.accept_operator("."):
                    name = self.name()
                if self.is_operator("["):
                    raise NotUnderstood("a SET of an element of an array is not translated")
                self.expect_operator("=")
                found.append((name, self.value()))
            if not self.accept_operator(","):
                return tuple(found)

    def _update(self, ctes: _Ctes) -> Update:
        table = self._target("update")
        if self.is_operator(","):
            raise NotUnderstood("an UPDATE of several tables is not translated")
        self.expect("set")
        assignments = self._assignments()
        sources = self._sources() if self.accept("from") else ()
        where = self._where()
        self._no_limit("UPDATE")
        self._returning()
        return Update(table, assignments, sources, where, ctes)

    def _delete(self, ctes: _Ctes) -> Delete:
        self.expect("from")
        table = self._target("delete")
        sources = self._sources() if self.accept("using") else ()
        where = self._where()
        self._no_limit("DELETE")
        self._returning()
        return Delete(table, sources, where, ctes)

    def _where(self) -> Expression | None:
        if not self.accept("where"):
            return None
        if self.is_word("current"):
            raise NotUnderstood("WHERE CURRENT OF a cursor: which row that is, is not in the log")
        return self.expression()

    def _no_limit(self, verb: str) -> None:
        if self.is_word("limit", "order"):
            raise NotUnderstood(f"{verb} with {self.now.text.upper()}: which rows it takes cannot be told here")

    def _returning(self) -> None:
        """RETURNING changes no rows; what it returns is not looked at."""
        if not self.accept("returning"):
            return
        depth = 0
        while self.now.kind is not TokenKind.END and not (depth == 0 and self.is_operator(";")):
            token = self.step()
            depth += (token.text == "(") - (token.text == ")") if token.kind is TokenKind.OPERATOR else 0

    def _truncate(self) -> Truncate:
        self.accept("table")
        tables = []
        while True:
            self.accept("only")
            tables.append(self.table_name())
            self.accept_operator("*")
            if not self.accept_operator(","):
                break
        if not self.accept("restart", "identity"):
            self.accept("continue", "identity")
        cascade = self.accept("cascade")
        self.accept("restrict")
        return Truncate(tuple(tables), cascade)

    # -- queries ----------------------------------------------------------------------------------------------

    def read_query(self, value_word: bool = False) -> Select:
        """Read a query, with or without parentheses around it, or VALUES."""
        if self.accept_operator("("):
            found = self.read_query(value_word)
            self.expect_operator(")")
            return found
        ctes = self._with() if self.is_word("with") else ()
        if self.accept("values") or (value_word and self.accept("value")):
            rows = [self._row()]
            while self.accept_operator(","):
                rows.append(self._row())
            return Select(values=tuple(rows), ctes=ctes)
        return self._select(ctes)

    def _row(self) -> tuple[Expression, ...]:
        self.expect_operator("(")
        found = [self.value()]
        while self.accept_operator(","):
            found.append(self.value())
        self.expect_operator(")")
        return tuple(found)

    def _select(self, ctes: _Ctes) -> Select:
        self.expect("select")
        distinct = self.accept("distinct")
        if distinct and self.is_word("on"):
            raise NotUnderstood("SELECT DISTINCT ON is not translated")
        self.accept("all")
        items = [self._select_item()]
        while self.accept_operator(","):
            items.append(self._select_item())
        into = self._into() if self.accept("into") else ""
        sources = self._sources() if self.accept("from") else ()
        where = self._where()
        group: tuple[Expression, ...] = ()
        if self.accept("group", "by"):
            group = self.expressions()
        having = self.expression() if self.accept("having") else None
        if self.is_word("union", "intersect", "except", "window", "fetch"):
            raise NotUnderstood(f"{self.now.text.upper()} is not translated")
        order = self._order()
        limit = self.expression() if self.accept("limit") and not self.accept("all") else None
        offset = self.expression() if self.accept("offset") else None
        self._locks()
        return Select(tuple(items), sources, where, group, having, order, limit, offset, distinct, into, ctes)

    def _select_item(self) -> tuple[Expression, str]:
        found = self.expression()
        if isinstance(found, Star):
            return found, ""
        if self.accept("as"):
            return found, self.name()
        if self.now.kind is TokenKind.NAME or (
            self.now.kind is TokenKind.WORD and self.now.text not in _AFTER_A_TABLE
        ):
            return found, self.name()
        return found, ""

    def _into(self) -> str:
        for word in ("temporary", "temp", "unlogged"):
            if self.accept(word) and word != "unlogged":
                raise NotUnderstood("a temporary table is of one connection, which the log does not name")
        self.accept("table")
        return self.table_name()

    def _order(self) -> tuple[Order, ...]:
        if not self.accept("order", "by"):
            return ()
        found = []
        while True:
            key = self.expression()
            descending = self.accept("desc")
            self.accept("asc")
            first = None
            if self.accept("nulls"):
                first = self.accept("first")
                if not first:
                    self.expect("last")
            found.append(Order(key, descending, first))
            if not self.accept_operator(","):
                return tuple(found)

    def _locks(self) -> None:
        while self.accept("for"):
            if not (self.accept("update") or self.accept("share")):
                self.expect("no", "key", "update")
            if self.accept("of"):
                self.name()
            if self.accept("skip", "locked"):
                raise NotUnderstood("SKIP LOCKED: which rows others had locked is not in the log")
            self.accept("nowait")

    def _sources(self) -> tuple[Source, ...]:
        found = [self._source("")]
        while True:
            if self.accept_operator(","):
                found.append(self._source(","))
                continue
            join = self._join()
            if not join:
                return tuple(found)
            one = self._source(join)
            if join != "CROSS JOIN":
                if self.is_word("using"):
                    raise NotUnderstood("JOIN … USING is not translated")
                self.expect("on")
                one = Source(one.table, one.query, one.alias, join, self.expression())
            found.append(one)

    def _join(self) -> str:
        if self.accept("cross", "join"):
            return "CROSS JOIN"
        if self.accept("inner", "join") or self.accept("join"):
            return "JOIN"
        if self.accept("left", "outer", "join") or self.accept("left", "join"):
            return "LEFT JOIN"
        if self.is_word("right", "full", "natural"):
            raise NotUnderstood(f"{self.now.text.upper()} JOIN is not translated")
        return ""

    def _source(self, join: str) -> Source:
        self.accept("only")
        if self.is_word("lateral"):
            raise NotUnderstood("LATERAL is not translated")
        if self.is_operator("("):
            query = self.read_query()
            if query.values:
                raise NotUnderstood("VALUES in the place of a table is not translated")
            return Source(None, query, self._alias(), join)
        name = self.table_name()
        if self.is_operator("("):
            raise NotUnderstood(f"the function {name}() in the place of a table is not translated")
        alias = self._alias()
        if self.is_word("tablesample"):
            raise NotUnderstood("TABLESAMPLE takes rows by chance")
        return Source(name, None, alias, join)

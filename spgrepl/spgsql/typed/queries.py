"""Queries inside statements that change rows, put in SQLite's words."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.nodes import Column, Const, Expression, Order, Select, Source, Star
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import Family, family_of
from spgrepl.spgsql.typed.expressions import Compiler
from spgrepl.spgsql.typed.schema import TableInfo
from spgrepl.spgsql.typed.scopes import Rows, Scope
from spgrepl.spgsql.typed.typing_rules import Compiled, order_collation
from spgrepl.text.sqltext import fold_ascii, quote_name

_GROUPED = frozenset({Family.INTEGER, Family.TEXT, Family.UUID, Family.BOOL, Family.DATE, Family.BYTEA})
_COUNT = re.compile("[0-9]{1,18}")
Ctes = Mapping[str, Select]


class QueryCompiler:
    """Puts queries in SQLite's words.

    Args:
        compiler: Does so with their expressions.
        ctes: The queries of a WITH around them, by name in small letters.
    """

    def __init__(self, compiler: Compiler, ctes: tuple[tuple[str, Select], ...] = ()) -> None:
        self._compiler = compiler
        self._ctes: dict[str, Select] = {fold_ascii(name): query for name, query in ctes}
        self.names: list[str] = []
        compiler.query = self.query

    def query(
        self, node: Select, outer: Scope | None, hints: list[SpgType] | None, exact: bool = False
    ) -> tuple[str, list[SpgType]]:
        """A query.

        Args:
            node: The query.
            outer: What the query around it may name.
            hints: The types that are wanted of its columns.
            exact: Whether its columns are turned into these types.

        Returns:
            Its text, and the types of its columns; `names` has their names.
        """
        if node.values:
            raise StatementStopped("VALUES in the place of a query is not translated")
        if node.into:
            raise StatementStopped("SELECT INTO inside of a statement")
        before = dict(self._ctes)
        self._ctes |= {fold_ascii(name): query for name, query in node.ctes}
        try:
            return self._select(node, outer, hints, exact)
        finally:
            self._ctes = before

    def _select(
        self, node: Select, outer: Scope | None, hints: list[SpgType] | None, exact: bool
    ) -> tuple[str, list[SpgType]]:
        compiler = self._compiler
        sources, scope = self.sources(node.sources, outer)
        items = self._items(node, scope, hints)
        kinds: list[SpgType] = []
        texts = []
        for number, (item, name) in enumerate(items):
            wanted = hints[number] if hints is not None and number < len(hints) else None
            if exact and wanted is not None:
                found = Compiled(compiler.coerced(item, wanted), wanted)
            else:
                found = compiler.typed(item, wanted)
            assert found.type is not None
            kinds.append(found.type)
            texts.append(f"{found.sql} AS {quote_name(name)}")
        parts = [f"SELECT {'DISTINCT ' if node.distinct else ''}{', '.join(texts)}"]
        if node.distinct:
            _check_grouped(kinds)
        parts += [f"FROM {sources}"] if sources else []
        if node.where is not None:
            parts.append(f"WHERE {compiler.condition(node.where, scope)}")
        elif sources:
            parts.append("WHERE 1")  # without it SQLite takes ON CONFLICT for the condition of a join
        if node.group:
            parts.append(f"GROUP BY {', '.join(self._group(one, scope) for one in node.group)}")
        if node.having is not None:
            parts.append(f"HAVING {compiler.condition(node.having, scope)}")
        if node.order or node.limit or node.offset:
            parts += self._ordered(node, scope)
        self.names = [name for _, name in items]  # last: queries within have put theirs there
        return " ".join(parts), kinds

    def _items(self, node: Select, scope: Scope, hints: list[SpgType] | None) -> list[tuple[Compiled, str]]:
        found: list[tuple[Compiled, str]] = []
        for item, alias in node.items:
            if isinstance(item, Star):
                for rows in scope.rows:
                    if not item.table or rows.alias == fold_ascii(item.table):
                        found += [(scope.column(rows.alias, name), name) for name in rows.columns]
                continue
            hint = hints[len(found)] if hints is not None and len(found) < len(hints) else None
            name = alias or (item.name if isinstance(item, Column) else f"column{len(found) + 1}")
            found.append((self._compiler.compile(item, scope, hint), fold_ascii(name)))
        return found

    def _group(self, node: Expression, scope: Scope) -> str:
        if isinstance(node, Const):
            raise StatementStopped("GROUP BY a number is not translated")
        found = self._compiler.typed(self._compiler.compile(node, scope))
        assert found.type is not None
        _check_grouped([found.type])
        return found.sql

    def _ordered(self, node: Select, scope: Scope) -> list[str]:
        parts = []
        if node.limit is None and node.offset is None:
            return []  # the order in which rows are written changes none of them
        if not self._is_total(node, scope):
            raise StatementStopped(
                "LIMIT without ORDER BY a unique column: which rows it takes cannot be told here"
            )
        for one in node.order:
            found = self._compiler.compile(one.key, scope)
            if found.type is None:
                raise StatementStopped("ORDER BY a number is not translated")
            parts.append(self._order(one, found))
        texts = [f"ORDER BY {', '.join(parts)}"]
        for word, value in (("LIMIT", node.limit), ("OFFSET", node.offset)):
            if value is not None:
                if not isinstance(value, Const) or value.negated:
                    raise StatementStopped(f"{word} of what is not a number is not translated")
                text = self._compiler.literal(value).text
                if _COUNT.fullmatch(text) is None:
                    raise StatementStopped(f"{word} {text[:30]} is not translated")
                texts.append(f"{word} {text}")
            elif word == "LIMIT":
                texts.append("LIMIT -1")
        return texts

    @staticmethod
    def _order(one: Order, found: Compiled) -> str:
        assert found.type is not None
        first = one.nulls_first if one.nulls_first is not None else one.descending
        direction = "DESC" if one.descending else "ASC"
        return f"{found.sql}{order_collation(found.type)} {direction} NULLS {'FIRST' if first else 'LAST'}"

    def _is_total(self, node: Select, scope: Scope) -> bool:
        """Whether the order leaves no two rows where either could come first."""
        if len(node.sources) != 1 or node.sources[0].table is None or node.group or node.distinct:
            return False
        if fold_ascii(node.sources[0].table) in self._ctes:
            return False
        table = self._compiler.schema.table(node.sources[0].table)
        names = {fold_ascii(one.key.name) for one in node.order if isinstance(one.key, Column)}
        for key in table.keys:
            if {fold_ascii(name) for name in key} <= names and all(
                not table.column(name).nullable for name in key
            ):
                return True
        return False

    # -- FROM -------------------------------------------------------------------------------------------------

    def sources(self, sources: tuple[Source, ...], outer: Scope | None) -> tuple[str, Scope]:
        """What stands in FROM, and what may be named then."""
        scope = Scope((), outer)
        parts: list[str] = []
        for one in sources:
            text, rows = self._source(one)
            scope = Scope((*scope.rows, rows), outer)
            join = f"{one.join} " if one.join and one.join != "," else ", " if one.join else ""
            parts.append(f"{join}{text} AS {quote_name(rows.alias)}")
            if one.on is not None:
                parts.append(f"ON {self._compiler.condition(one.on, scope)}")
        aliases = [rows.alias for rows in scope.rows]
        if len(set(aliases)) != len(aliases):
            raise StatementStopped("two tables of a query have the same name")
        return " ".join(parts), scope

    def _source(self, source: Source) -> tuple[str, Rows]:
        query = source.query
        if source.table is not None:
            name = fold_ascii(source.table)
            query = self._ctes.get(name)
            if query is None:
                table: TableInfo = self._compiler.schema.table(source.table)
                return quote_name(table.name), Rows.of_table(table, source.alias or source.table)
        assert query is not None
        alias = source.alias or source.table
        if not alias:
            raise StatementStopped("a query in FROM without a name is not translated")
        text, kinds = self._inner(query, fold_ascii(source.table or ""))
        names = self.names
        return f"({text})", Rows(fold_ascii(alias), dict(zip(names, kinds, strict=True)))

    def _inner(self, query: Select, name: str) -> tuple[str, list[SpgType]]:
        """A query in FROM; one of a WITH does not see itself."""
        before = dict(self._ctes)
        self._ctes.pop(name, None)
        try:
            return self.query(query, None, None)
        finally:
            self._ctes = before


def _check_grouped(kinds: list[SpgType]) -> None:
    for kind in kinds:
        if family_of(kind) not in _GROUPED:
            raise StatementStopped(f"DISTINCT or GROUP BY of {kind.label} is not translated")

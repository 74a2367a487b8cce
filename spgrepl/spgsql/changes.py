"""INSERT, UPDATE, DELETE, TRUNCATE and SELECT INTO, put in SQLite's words."""

from __future__ import annotations

from collections.abc import Iterator

from spgrepl.spg.ddl import ON_CONFLICT, ON_TARGET
from spgrepl.spgsql import tables
from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.nodes import (
    Conflict,
    Default,
    Delete,
    Expression,
    Insert,
    Plain,
    Select,
    Statement,
    TableName,
    Truncate,
    Update,
)
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.one_by_one import ONCE, reads, refuse_columns_in_turn, refuse_own_rows, same_keys
from spgrepl.spgsql.typed.defaults import default_of, has_moving_default, is_next_number, next_number
from spgrepl.spgsql.typed.expressions import Compiler
from spgrepl.spgsql.typed.plan import Plan, Step
from spgrepl.spgsql.typed.queries import QueryCompiler
from spgrepl.spgsql.typed.schema import ColumnInfo, LabelType, TableInfo
from spgrepl.spgsql.typed.scopes import Rows, Scope
from spgrepl.text.quantities import number_of
from spgrepl.text.sqltext import fold_ascii, quote_name

_ROW_NUMBERS = ("rowid", "_rowid_", "oid")
_Assignments = tuple[tuple[str, Expression], ...]


def plan_change(compiler: Compiler, node: Statement) -> Plan:
    """What a statement that changes rows comes to.

    Raises:
        StatementStopped: It is not run here; the reason says why.
    """
    maker = _ChangeMaker(compiler)
    steps = tuple(maker.steps(node))
    return Plan(steps, tuple(compiler.approximated), frozenset(compiler.fixed))


def plan_create_as(compiler: Compiler, name: str, query: Select) -> Plan:
    """What CREATE TABLE … AS comes to. The table is made at once, in the open transaction.

    Raises:
        StatementStopped: It is not run here; the reason says why.
    """
    steps = tuple(_ChangeMaker(compiler).create_as(TableName(name), query))
    return Plan(steps, tuple(compiler.approximated), frozenset(compiler.fixed))


class _ChangeMaker:
    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self._schema = compiler.schema

    def steps(self, node: Statement) -> Iterator[Step]:
        """The statements of SQLite's that do it."""
        if isinstance(node, Insert):
            yield from self._insert(node)
        elif isinstance(node, Update):
            yield from self._update(node)
        elif isinstance(node, Delete):
            yield self._delete(node)
        elif isinstance(node, Truncate):
            yield from self._truncate(node)
        else:
            if not node.into:
                raise StatementStopped("a SELECT in the log: only what it calls can have changed rows")
            yield from self.create_as(TableName(node.into), node)

    def _table(self, name: str, event: str) -> TableInfo:
        """A table that is changed, after a look at what else happens at the master then."""
        table = self._schema.table(name)
        self._compiler.target = table.name
        for hazard in table.hazards:
            if event in hazard.events:
                self._compiler.not_deterministic(hazard.what.split(" runs ")[0], hazard.what)
        if event in ("INSERT", "UPDATE"):
            computed = [column.name for column in table.columns if "generated" in column.details]
            if computed:
                raise StatementStopped(
                    f"the column {computed[0]} of {table.name} is GENERATED: its values are computed by the master"
                )
        return table

    # -- INSERT -----------------------------------------------------------------------------------------------

    def _insert(self, node: Insert) -> Iterator[Step]:
        table = self._table(node.table.name, "INSERT")
        if node.conflict is not None and node.conflict.assignments is not None:
            table = self._table(node.table.name, "UPDATE")
        if node.replace:
            table = self._table(node.table.name, "DELETE")
        if node.conflict is not None or node.replace:
            by_columns = node.conflict is not None and node.conflict.columns
            table = self._table(node.table.name, ON_TARGET if by_columns else ON_CONFLICT)
        query = node.query
        refuse_own_rows(node, table)
        named = self._named(table, node)
        queries = QueryCompiler(self._compiler, node.ctes)
        if query is None or query.values:
            rows = query.values if query is not None else ((),)
            for row in rows:
                yield self._row(table, node, named, row)
            return
        wanted = [column.known for column in named]
        text, kinds = queries.query(query, None, wanted, exact=True)
        if len(kinds) > len(named) or (node.columns is not None and len(kinds) != len(named)):
            raise StatementStopped(_too_many(table, named, len(kinds)))
        named = named[: len(kinds)]
        if query.sources:
            for found, reason in same_keys(self._schema.connection, table, node, named, text):
                yield Step(found, tuple(self._compiler.bindings), reason)
        extra, values = self._left_out(table, named, many=True)
        columns = ", ".join(quote_name(column.name) for column in (*named, *extra))
        if extra:
            text = f"SELECT inserted.*, {', '.join(values)} FROM ({text}) AS inserted WHERE 1"
        elif not query.sources:
            text = f"SELECT * FROM ({text}) WHERE 1"
        yield self._step(self._head(table, node) + f" ({columns}) {text}{self._conflict(table, node)}")

    def _named(self, table: TableInfo, node: Insert) -> list[ColumnInfo]:
        if node.columns is None:
            return list(table.columns)
        found = [table.column(name) for name in node.columns]
        if len(set(found_names := [column.name for column in found])) != len(found_names):
            raise StatementStopped("a column is named twice")
        return found

    def _row(self, table: TableInfo, node: Insert, named: list[ColumnInfo], row: tuple[Expression, ...]) -> Step:
        if len(row) > len(named) or (node.columns is not None and len(row) != len(named)):
            raise StatementStopped(_too_many(table, named, len(row)))
        columns, values = [], []
        for column, value in zip(named, row, strict=False):
            columns.append(column)
            values.append(self._assigned(table, column, value, Scope(), node.overriding == "USER"))
        extra, defaults = self._left_out(table, columns, many=False)
        columns, values = columns + extra, values + defaults
        head = self._head(table, node)
        if not columns:
            return self._step(f"{head} DEFAULT VALUES{self._conflict(table, node)}")
        listed = ", ".join(quote_name(column.name) for column in columns)
        return self._step(f"{head} ({listed}) VALUES ({', '.join(values)}){self._conflict(table, node)}")

    def _left_out(
        self, table: TableInfo, named: list[ColumnInfo], many: bool
    ) -> tuple[list[ColumnInfo], list[str]]:
        """The columns that the statement does not name and SQLite's default is not that of, and their values."""
        names = {column.name for column in named}
        left = [column for column in table.columns if column.name not in names and has_moving_default(column)]
        return left, [default_of(self._compiler, table, column, many) for column in left]

    def _assigned(
        self, table: TableInfo, column: ColumnInfo, value: Expression, scope: Scope, overridden: bool = False
    ) -> str:
        """The value of a column."""
        counted_null = (
            isinstance(value, Plain)
            and value.value is None
            and column.auto_increment
            and self._compiler.dialect is Dialect.MYSQL
        )
        if isinstance(value, Default) or counted_null or (overridden and column.auto_increment):
            return default_of(self._compiler, table, column)
        if is_next_number(value):
            return next_number(self._compiler, table, column, "nextval()")
        return self._compiler.value(value, scope, column.known)

    @staticmethod
    def _head(table: TableInfo, node: Insert) -> str:
        # The alias is the name by which columns of the row that is there are called.
        alias = quote_name(fold_ascii(node.table.alias or node.table.name))
        return f"INSERT {'OR REPLACE ' if node.replace else ''}INTO {quote_name(table.name)} AS {alias}"

    def _conflict(self, table: TableInfo, node: Insert) -> str:
        conflict = node.conflict
        if conflict is None:
            return ""
        target = self._conflict_target(table, conflict)
        if conflict.assignments is None:
            return f" ON CONFLICT{target} DO NOTHING"
        alias = node.table.alias or node.table.name
        scope = Scope((Rows.of_table(table, alias), Rows.of_table(table, "excluded")))
        own = Scope((Rows.of_table(table, alias),), scope)
        text = self._assignments(table, conflict.assignments, own)
        where = f" WHERE {self._compiler.condition(conflict.where, own)}" if conflict.where is not None else ""
        return f" ON CONFLICT{target} DO UPDATE SET {text}{where}"

    @staticmethod
    def _conflict_target(table: TableInfo, conflict: Conflict) -> str:
        columns = conflict.columns
        if conflict.constraint:
            if fold_ascii(conflict.constraint) != f"{fold_ascii(table.name)}_pkey" or not table.has_primary:
                raise StatementStopped(
                    f"which columns the constraint {conflict.constraint} is over is not known here"
                )
            columns = table.keys[0]
        if not columns:
            return ""
        return f" ({', '.join(quote_name(table.column(name).name) for name in columns)})"

    # -- UPDATE and DELETE ------------------------------------------------------------------------------------

    def _assignments(self, table: TableInfo, assignments: _Assignments, scope: Scope) -> str:
        parts, set_names = [], set()
        if self._compiler.dialect is Dialect.MYSQL:
            refuse_columns_in_turn(assignments)
        for name, value in assignments:
            column = table.column(name)
            set_names.add(column.name)
            parts.append(f"{quote_name(column.name)} = {self._assigned(table, column, value, scope)}")
        for column in table.columns:
            if "on_update" in column.details and column.name not in set_names:
                raise StatementStopped(
                    f"the column {column.name} of {table.name} is set by the master at every UPDATE "
                    f"({column.details['on_update']}): write its value"
                )
        return ", ".join(parts)

    def _update(self, node: Update) -> Iterator[Step]:
        table = self._table(node.table.name, "UPDATE")
        queries = QueryCompiler(self._compiler, node.ctes)
        alias = fold_ascii(node.table.alias or node.table.name)
        own = Scope((Rows.of_table(table, alias),))
        target = f"{quote_name(table.name)} AS {quote_name(alias)}"
        if not node.sources:
            text = f"UPDATE {target} SET {self._assignments(table, node.assignments, own)}"
            # SQLite reads rows that it has written before, where it is not told to find all values first.
            text += ONCE if reads((node.assignments, node.ctes), table) else ""
            yield self._step(text + self._where(node.where, own))
            return
        sources, found = queries.sources(node.sources, None)
        scope = Scope((*own.rows, *found.rows))
        where = self._where(node.where, scope)
        number = f"{quote_name(alias)}.{_row_number(table)}"
        yield Step(
            f"SELECT 1 FROM {target}, {sources}{where} GROUP BY {number} HAVING count(*) > 1 LIMIT 1",
            self._compiler.take_bindings(),
            f"a row of {table.name} is joined with several: which of them counts cannot be told here",
        )
        sources, found = queries.sources(node.sources, None)
        text = f"UPDATE {target} SET {self._assignments(table, node.assignments, scope)} FROM {sources}"
        yield self._step(text + self._where(node.where, scope))

    def _where(self, where: Expression | None, scope: Scope) -> str:
        return "" if where is None else f" WHERE {self._compiler.condition(where, scope)}"

    def _delete(self, node: Delete) -> Step:
        table = self._table(node.table.name, "DELETE")
        queries = QueryCompiler(self._compiler, node.ctes)
        alias = fold_ascii(node.table.alias or node.table.name)
        own = Scope((Rows.of_table(table, alias),))
        target = f"{quote_name(table.name)} AS {quote_name(alias)}"
        if not node.sources:
            return self._step(f"DELETE FROM {target}{self._where(node.where, own)}")
        sources, found = queries.sources(node.sources, None)
        where = self._where(node.where, Scope((*own.rows, *found.rows)))
        number = _row_number(table)
        inner = f"SELECT {quote_name(alias)}.{number} FROM {target}, {sources}{where}"
        return self._step(f"DELETE FROM {quote_name(table.name)} WHERE {number} IN ({inner})")

    def _truncate(self, node: Truncate) -> Iterator[Step]:
        names = list(node.tables)
        for name in names:
            table = self._table(name, "TRUNCATE")
            yield Step(f"DELETE FROM {quote_name(table.name)}")
            if node.cascade:
                names += [child for child in self._children(table.name) if child not in names]

    def _children(self, name: str) -> list[str]:
        """The tables with a foreign key to a table."""
        query = (
            "SELECT t.name FROM sqlite_master AS t, pragma_foreign_key_list(t.name) AS k "
            "WHERE t.type = 'table' AND k.\"table\" = ? COLLATE NOCASE"
        )
        return [str(row[0]) for row in self._schema.connection.execute(query, (name,)).fetchall()]

    def _step(self, text: str) -> Step:
        return Step(text, self._compiler.take_bindings())

    # -- SELECT INTO ------------------------------------------------------------------------------------------

    def create_as(self, table: TableName, node: Select) -> Iterator[Step]:
        """A table that is made of the rows of a query."""
        queries = QueryCompiler(self._compiler, node.ctes)
        plain = Select(
            node.items, node.sources, node.where, node.group, node.having, node.order, node.limit, node.offset,
            node.distinct, ctes=node.ctes,
        )  # fmt: skip
        text, kinds = queries.query(plain, None, None)
        named = zip(queries.names, kinds, strict=True)
        columns = [
            # Without the labels themselves it is ordered by them all the same.
            ColumnInfo(name, kind, True, False, {"enum": ""} if isinstance(kind, LabelType) else {}, None)
            for name, kind in named
        ]
        tables.make(self._schema, table.name, columns, [])
        yield self._step(f"INSERT INTO {quote_name(table.name)} {text}")


def _too_many(table: TableInfo, named: list[ColumnInfo], count: int) -> str:
    return (
        f"table {table.name} has {number_of(len(named), 'column')} for the values, and "
        f"{number_of(count, 'value was', 'values were')} supplied"
    )


def _row_number(table: TableInfo) -> str:
    for name in _ROW_NUMBERS:
        if not table.has(name):
            return name
    raise StatementStopped(f"the rows of {table.name} have no name of their own here: its columns take all")

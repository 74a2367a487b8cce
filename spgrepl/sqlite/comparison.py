"""Comparing two SQLite databases: schema and rows, values and their types, in constant memory."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import apsw
import attrs

from spgrepl.errors import LocalFilesDamaged
from spgrepl.sqlite.compared_rows import (
    Pair,
    Row,
    Told,
    columns_of,
    count_rows,
    cut,
    first_difference,
    first_virtual_difference,
    shown,
    tell_nobody,
)
from spgrepl.sqlite.session import plain_connection
from spgrepl.text.sqltext import fold_ascii, significant_tokens

_IGNORED = "name NOT LIKE 'spgrepl\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"


@attrs.frozen
class Comparison:
    """What a comparison found.

    Attributes:
        tables: How many tables both databases have in common.
        rows: How many rows were found equal.
        differences: What differs, one text for each table or other object of the schema.
    """

    tables: int
    rows: int
    differences: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare_databases(
    first: Path, second: Path, tables: Collection[str] | None = None, told: Told = tell_nobody
) -> Comparison:
    """Compare two SQLite databases table by table, as they are now, while others may write them. Blocking.

    Tables whose names begin with ``spgrepl_`` or ``sqlite_stat`` are left out: they say how a copy was made, not
    what it holds. Rows are compared in the order of their rowid or primary key, their values with their types, and
    those of tables without a primary key with their row numbers. ``user_version`` and ``application_id`` count.

    The inner tables of full-text and other virtual tables may lay the same out in another way. A copy that applied
    the rows of a log has the very same ones; where they differ, what the virtual table holds is compared instead,
    and of full-text tables every word of the index. (A contentless FTS4 table cannot be read as a whole: its inner
    tables have to be the same.)

    Args:
        first: A database.
        second: The other one.
        tables: The tables to compare, with their indexes and triggers, such as those that a subscriber asked for;
            None for all. One that neither database has is a difference.
        told: Called now and then with how far it is.

    Raises:
        FileNotFoundError: One of them does not exist.
        LocalFilesDamaged: One of them is not a SQLite database, or is damaged.
    """
    with _opened(first) as one, _opened(second) as other:
        try:
            return _Comparing((one, other), (first, second), tables, told).run()
        except apsw.Error as error:
            raise LocalFilesDamaged(f"{first} and {second} cannot be compared: {error}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[apsw.Connection]:
    """Open a database for reading, at one moment of its life."""
    if not path.exists():
        raise FileNotFoundError(2, "No such file", str(path))
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(contextlib.closing(plain_connection(path, read_only=True)))
            connection.collation_needed(_stand_in)
            connection.execute("BEGIN; SELECT count(*) FROM sqlite_master").fetchall()
        except apsw.Error as error:
            raise LocalFilesDamaged(f"{path} cannot be read as a SQLite database: {error}") from error
        yield connection


def _stand_in(connection: apsw.Connection, name: str) -> None:
    """Let a collation that the program of the database registers be any one: rows are only read, in no order."""
    connection.create_collation(name, lambda one, other: (one > other) - (one < other))


class _Comparing:
    """One comparison of two databases."""

    def __init__(self, pair: Pair, paths: tuple[Path, Path], tables: Collection[str] | None, told: Told) -> None:
        self._told = told
        self._common: list[str] = []
        self._total: int | None = None
        self._pair = pair
        self._paths = paths
        self._wanted = None if tables is None else {fold_ascii(name) for name in tables}
        self._differences: list[str] = []
        self._rows = 0

    def run(self) -> Comparison:
        """Compare everything."""
        schemas = [self._schema(connection) for connection in self._pair]
        known = {fold_ascii(name) for schema in schemas for kind, name in schema if kind == "table"}
        missing = sorted((self._wanted or set()) - known)
        self._differences += [f"table {name}: neither database has it" for name in missing]
        for kind, name in sorted(schemas[0].keys() | schemas[1].keys()):
            left, right = (schema.get((kind, name)) for schema in schemas)
            if left != right:
                self._differs(f"{kind} {name}", _ddl(left), _ddl(right))
        if self._wanted is None:
            self._compare_numbers()
        common = sorted(name for kind, name in schemas[0].keys() & schemas[1].keys() if kind == "table")
        self._common = common
        virtual = self._virtual_tables(common, {name: sql for (_, name), sql in schemas[0].items()})
        for table in common:
            self._compare_table(table, virtual)
        return Comparison(len(common), self._rows, tuple(self._differences))

    def _differs(self, what: str, left: str, right: str) -> None:
        self._differences.append(f"{what}: {self._paths[0]} has {left}; {self._paths[1]} has {right}")

    def _schema(self, connection: apsw.Connection) -> dict[tuple[str, str], str | None]:
        """The SQL of every table, index, view and trigger, by kind and name; of those that are wanted."""
        ours = "tbl_name LIKE 'spgrepl\\_%' ESCAPE '\\'"
        query = f"SELECT type, name, tbl_name, sql FROM sqlite_master WHERE {_IGNORED} AND NOT {ours}"
        return {
            (kind, name): sql
            for kind, name, table, sql in connection.execute(query)
            if self._wanted is None or fold_ascii(table) in self._wanted
        }

    def _compare_numbers(self) -> None:
        """Compare what programs store in a database's header."""
        for name in ("user_version", "application_id"):
            left, right = (connection.execute(f"PRAGMA {name}").get for connection in self._pair)
            if left != right:
                self._differs(name, str(left), str(right))

    def _virtual_tables(self, common: list[str], texts: dict[str, str | None]) -> dict[str, tuple[str, str]]:
        """For each virtual table, and each inner table of one: that one's name, and its module in lower case.

        Tables whose module is not known here are not among them: their inner tables are compared as any others.
        """
        kinds = [
            dict(connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'"))
            for connection in self._pair
        ]
        modules = {
            name: _module_of(texts[name] or "")
            for name in common
            if kinds[0].get(name) == "virtual" and texts[name]
        }
        found = {name: (name, module) for name, module in modules.items()}
        for name in common:
            if kinds[0].get(name) == kinds[1].get(name) == "shadow":
                owners = [one for one in modules if name.startswith(f"{one}_")]
                if owners:
                    owner = max(owners, key=len)
                    found[name] = (owner, modules[owner])
        return found

    # -- tables -----------------------------------------------------------------------------------------------

    def _compare_table(self, table: str, virtual: dict[str, tuple[str, str]]) -> None:
        left, right = (columns_of(connection, table) for connection in self._pair)
        if left != right:
            return  # the schema's difference says it
        owner, module = virtual.get(table, ("", ""))
        if owner == table:
            # Its inner tables say it all, where they are compared.
            if all(one == table or of != table for one, (of, _) in virtual.items()):
                self._compare_virtual(table, module)
            return
        found = first_difference(self._pair, table, partial(self._tell, table))
        if found is None:
            self._rows += count_rows(self._pair[0], table)
            return
        self._rows += found[0]
        if owner and self._looks_alike(owner, module):
            return
        self._row_differs(f"table {table}", found)

    def _tell(self, table: str, equal: int) -> None:
        if self._total is None:
            self._total = sum(count_rows(self._pair[0], name) for name in self._common if self._is_plain(name))
        self._told(self._rows + equal, self._total, table)

    def _is_plain(self, table: str) -> bool:
        query = "SELECT type FROM pragma_table_list(?) WHERE schema = 'main'"
        return bool(self._pair[0].execute(query, (table,)).get != "virtual")

    def _compare_virtual(self, table: str, module: str) -> None:
        try:
            found = first_virtual_difference(self._pair, table, module)
        except apsw.Error as error:
            self._differences.append(f"table {table}: it cannot be read here: {error}")
            return
        if found is None:
            self._rows += count_rows(self._pair[0], table)
        else:
            self._row_differs(f"table {table}", found)

    def _looks_alike(self, table: str, module: str) -> bool:
        """Whether a virtual table holds the same in both, though an inner one of its tables differs."""
        try:
            return first_virtual_difference(self._pair, table, module) is None
        except apsw.Error:
            # What it needs is registered by another program: then only the inner tables tell.
            return False

    def _row_differs(self, what: str, found: tuple[int, Row | None, Row | None]) -> None:
        number, left, right = found
        self._differs(f"{what}, row {number + 1}", shown(left), shown(right))


def _module_of(sql: str) -> str:
    """The module of a CREATE VIRTUAL TABLE, in lower case."""
    tokens = significant_tokens(sql)
    at = next((number for number, token in enumerate(tokens) if token.upper == "USING"), None)
    return "" if at is None or at + 1 >= len(tokens) else fold_ascii(tokens[at + 1].name or tokens[at + 1].text)


def _ddl(sql: str | None) -> str:
    return "nothing of that name" if sql is None else cut(" ".join(sql.split()))

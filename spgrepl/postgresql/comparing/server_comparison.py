"""Comparing a SQLite database with a server, table by table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import apsw

from spgrepl.errors import LocalFilesDamaged
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.comparing.ranges import RowPair, TwoEnds
from spgrepl.postgresql.copying.snapshot_copy import difference_of
from spgrepl.postgresql.copying.source_tables import SourceTable, read_source
from spgrepl.postgresql.names import NameUnfit
from spgrepl.postgresql.session import Session
from spgrepl.postgresql.tables import read_table
from spgrepl.sqlite.compared_rows import Told, count_rows, tell_nobody
from spgrepl.sqlite.comparison import Comparison
from spgrepl.sqlite.session import plain_connection
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import fold_ascii

MOST_SHOWN = 5
"""So many rows of a table are named; of more it is said that there are more."""

_TABLES = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"
_SHOWN = 100


def compare_with_server(
    path: Path, address: ServerAddress, tables: Collection[str] | None = None, told: Told = tell_nobody
) -> Comparison:
    """Compare the tables of a SQLite database with those of the same names in a server. Blocking.

    Both are read as they are at one moment, while others may write them. Virtual tables, and those that begin with
    ``spgrepl_`` or ``sqlite_``, are left out. Equal is what the server's column can tell: in a column of type
    numeric 1 and 1.0 are.

    Args:
        path: The database.
        address: The server.
        tables: The tables to compare; None for all that the database has.
        told: Called now and then with how far it is.

    Raises:
        FileNotFoundError: There is no such database.
        LocalFilesDamaged: It is not a SQLite database, or is damaged.
        EngineFailed: The server cannot be reached, or ends the connection.
        ConfigurationError: It refuses.
    """
    if not path.exists():
        raise FileNotFoundError(2, "No such file", str(path))
    session = Session(address, "spgrepl compare")
    with contextlib.ExitStack() as stack:
        stack.callback(session.close)
        server = session.open()
        try:
            here = stack.enter_context(contextlib.closing(plain_connection(path, read_only=True)))
            here.execute("BEGIN; SELECT count(*) FROM sqlite_master").fetchall()
            with session.storing():
                server.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                return _Comparing(here, server, path, address, tables).run(told)
        except apsw.Error as error:
            raise LocalFilesDamaged(f"{path} cannot be read as a SQLite database: {error}") from error


class _Comparing:
    """One comparison."""

    def __init__(
        self,
        here: apsw.Connection,
        server: Any,
        path: Path,
        address: ServerAddress,
        tables: Collection[str] | None,
    ) -> None:
        self._here = here
        self._server = server
        self._path = path
        self._address = address
        self._wanted = None if tables is None else {fold_ascii(name) for name in tables}
        self._has_own = own_schema.is_there(server)
        self._differences: list[str] = []
        self._rows = 0

    def run(self, told: Told) -> Comparison:
        """Compare everything."""
        names = [
            str(name)
            for (name,) in self._here.execute(_TABLES)
            if not fold_ascii(str(name)).startswith(("sqlite_", OWN_PREFIX))
        ]
        known = {fold_ascii(name) for name in names}
        for name in sorted((self._wanted or set()) - known):
            self._differences.append(f"table {name}: {self._path} does not have it")
        chosen = [name for name in names if self._wanted is None or fold_ascii(name) in self._wanted]
        total = sum(count_rows(self._here, name) for name in chosen)
        for name in chosen:
            self._compare_table(name, partial(_tell, told, name, self._rows, total))
        return Comparison(len(chosen), self._rows, tuple(self._differences))

    def _compare_table(self, name: str, tell: Callable[[int], None]) -> None:
        source = read_source(self._here, name)
        try:
            table = read_table(self._server, name, self._has_own)
        except NameUnfit as error:
            self._differences.append(f"table {name}: {error}")
            return
        if table is None:
            self._differences.append(f"table {name}: {self._address} does not have it")
            return
        difference = difference_of(source, table)
        if difference is not None:
            self._differences.append(f"table {name}: in {self._address} {difference}")
            return
        try:
            self._compare_rows(source, TwoEnds(self._here, self._server, source, table), tell)
        except UnicodeDecodeError:
            self._compare_rows(source, TwoEnds(self._here, self._server, source, table, carefully=True), tell)

    def _compare_rows(self, source: SourceTable, ends: TwoEnds, tell: Callable[[int], None]) -> None:
        ranges = ends.ranges(tell)
        there = ends.sums(ranges)
        found: list[str] = []
        more = False
        for number, one in enumerate(ranges):
            if there.get(number, (0, 0)) == (one.rows, one.total):
                self._rows += one.rows
                continue
            if len(found) >= MOST_SHOWN:
                more = True
                continue
            rows = ends.differing(one)
            found += [self._described(source, ends, pair) for pair in islice(rows, MOST_SHOWN - len(found))]
            more = more or next(rows, None) is not None
        self._differences += found
        if more:
            self._differences.append(f"table {source.name}: more rows differ")

    def _described(self, source: SourceTable, ends: TwoEnds, pair: RowPair) -> str:
        named = ", ".join(
            f"{name}={_cut(ends.shown(name, text))}" for name, text in zip(ends.key, pair.key, strict=True)
        )
        where = f"table {source.name}, row {named}"
        left, right = pair.here, pair.there
        if left is None or right is None:
            has, lacks = (self._address, self._path) if left is None else (self._path, self._address)
            return f"{where}: {has} has it, {lacks} does not"
        place = next(at for at, (one, other) in enumerate(zip(left, right, strict=True)) if one != other)
        column = ends.names[place]
        here, there = (_cut(ends.shown(column, texts[place])) for texts in (left, right))
        return f"{where}, column {column}: {self._path} has {here}; {self._address} has {there}"


def _tell(told: Told, table: str, before: int, total: int, rows: int) -> None:
    told(before + rows, total, table)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"

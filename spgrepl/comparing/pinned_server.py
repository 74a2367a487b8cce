"""Comparing a SQLite database with PostgreSQL, both at one position. Blocking."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import apsw
import attrs

from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.pinned import HOLD_SECONDS, PinnedComparison, tell_of_table
from spgrepl.comparing.pinning import pin
from spgrepl.comparing.server_end import ServerEnd
from spgrepl.errors import EngineFailed, UsageError
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.column_types import Misfit
from spgrepl.postgresql.comparing.ranges import RowPair, TwoEnds
from spgrepl.postgresql.copying.snapshot_copy import difference_of
from spgrepl.postgresql.copying.source_tables import SourceTable, read_source
from spgrepl.postgresql.names import NameUnfit, quoted
from spgrepl.postgresql.tables import read_table
from spgrepl.sqlite.compared_rows import Told, count_rows, tell_nobody
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import fold_ascii

_TABLES = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name"

SERVER_HEAD = b"""-- What makes the tables in PostgreSQL hold the rows of the SQLite database, where they differed.
-- Run it while nobody else writes; as a role that may: SET session_replication_role = replica, so that triggers
-- and foreign keys do not act.
SET standard_conforming_strings = on;
BEGIN;
"""


@attrs.frozen
class ServerRowDifference:
    """A row that is not the same in the two.

    Attributes:
        table: Its table.
        ends: Knows how its values are written.
        pair: The row at both ends.
        swapped: Whether the server is the first of the two.
    """

    table: str
    ends: TwoEnds
    pair: RowPair
    swapped: bool = False

    def __str__(self) -> str:
        ends, pair = self.ends, self.pair
        first, second = (pair.there, pair.here) if self.swapped else (pair.here, pair.there)
        named = ", ".join(
            f"{name}={ends.shown(name, text)}" for name, text in zip(ends.key, pair.key, strict=True)
        )
        what = f"table {self.table}, row {named}"
        if second is None:
            return f"{what}: missing in the second"
        if first is None:
            return f"{what}: in the second only"
        unlike = [name for name, one, other in zip(ends.names, first, second, strict=True) if one != other]
        return f"{what}: differs in {', '.join(unlike)}"

    def statements(self) -> tuple[bytes | None, bytes | None]:
        """See `spgrepl.comparing.repairing.Difference`; a row that is at both ends is changed as it stands.

        Raises:
            UsageError: The server cannot hold a value that the row has.
        """
        pair, table = self.pair, quoted(self.table)
        if pair.values is None:
            return f"DELETE FROM {table} WHERE {self._key()}".encode(), None
        try:
            texts = self.ends.encoded(pair.values)
        except Misfit as misfit:
            raise UsageError(f"{self}: no statement can put that right: {misfit.reason}") from misfit
        if pair.there is None:
            names = ", ".join(map(quoted, self.ends.names))
            return None, f"INSERT INTO {table} ({names}) VALUES ({', '.join(texts)})".encode()
        assert pair.here is not None
        changed = [
            f"{quoted(name)} = {text}"
            for name, text, one, other in zip(self.ends.names, texts, pair.here, pair.there, strict=True)
            if one != other
        ]
        return None, f"UPDATE {table} SET {', '.join(changed)} WHERE {self._key()}".encode()

    def _key(self) -> str:
        parts = []
        for name, text in zip(self.ends.key, self.pair.key, strict=True):
            value = self.ends.literal(name, text)
            parts.append(f"{quoted(name)} IS NULL" if value == "NULL" else f"{quoted(name)} = {value}")
        return " AND ".join(parts)


def compare_pinned_with_server(
    path: Path,
    address: ServerAddress,
    tables: Collection[str] | None = None,
    found: Callable[[ServerRowDifference], None] = lambda _: None,
    seconds: float = HOLD_SECONDS,
    *,
    server_first: bool = False,
    subscription: str | None = None,
    told: Told = tell_nobody,
) -> PinnedComparison:
    """Compare the tables of a SQLite database with those in a server at one position, while both are written.

    Args:
        path: A primary's database, or a copy.
        address: A server with a copy of it, or a subscription to it.
        tables: The tables to compare; None for all that the database has.
        found: Called with each row that differs.
        seconds: For how long one of them may be held.
        server_first: Whether the server is the first of the two.
        subscription: Whose position counts where the server has several subscriptions.
        told: Called now and then with how far it is.

    Raises:
        ConfigurationError, UsageError, DifferentHistory, WaitTimeout, EngineFailed: As
            `spgrepl.comparing.pinning.pin`.
    """
    with contextlib.ExitStack() as stack:
        try:
            here = stack.enter_context(contextlib.closing(SqliteEnd(path)))
            there = stack.enter_context(contextlib.closing(ServerEnd(address, subscription)))
            pinned = pin(there, here, seconds) if server_first else pin(here, there, seconds)
            with there.session.storing():
                comparing = _Comparing(here, there, server_first)
                comparing.run(tables, found, told)
        except apsw.Error as error:
            raise EngineFailed(f"{path} and {address} cannot be compared: {error}") from error
    return PinnedComparison(
        pinned.position,
        pinned.held,
        comparing.tables,
        comparing.rows,
        comparing.differences,
        tuple(comparing.unlike),
    )


class _Comparing:
    """One comparison."""

    def __init__(self, here: SqliteEnd, there: ServerEnd, server_first: bool) -> None:
        self._path = here.path
        self._here = here.connection
        self._address = there.address
        self._server: Any = there.session.open()
        self._swapped = server_first
        self.tables = self.rows = self.differences = 0
        self.unlike: list[str] = []

    def run(
        self, tables: Collection[str] | None, found: Callable[[ServerRowDifference], None], told: Told
    ) -> None:
        """Compare everything."""
        wanted = None if tables is None else {fold_ascii(name) for name in tables}
        names = [
            str(name)
            for (name,) in self._here.execute(_TABLES).fetchall()
            if not fold_ascii(str(name)).startswith(("sqlite_", OWN_PREFIX))
        ]
        known = {fold_ascii(name) for name in names}
        self.unlike += [
            f"table {name}: {self._path} does not have it" for name in sorted((wanted or set()) - known)
        ]
        chosen = [name for name in names if wanted is None or fold_ascii(name) in wanted]
        total = sum(count_rows(self._here, name) for name in chosen)
        for name in chosen:
            source = read_source(self._here, name)
            for carefully in (False, True):
                ends = self._ends_of(source, carefully)
                if ends is None:
                    break
                try:
                    ranges = ends.ranges(tell_of_table(told, name, self.rows, total))
                except UnicodeDecodeError:
                    continue
                self.tables += 1
                self._compare(name, ends, ranges, found)
                break

    def _ends_of(self, source: SourceTable, carefully: bool) -> TwoEnds | None:
        """A table at both ends; None where they cannot be compared, which is said."""
        try:
            table = read_table(self._server, source.name, own_schema.is_there(self._server))
        except NameUnfit as error:
            self.unlike.append(f"table {source.name}: {error}")
            return None
        if table is None:
            self.unlike.append(f"table {source.name}: {self._address} does not have it")
            return None
        difference = difference_of(source, table)
        if difference is not None:
            self.unlike.append(f"table {source.name}: in {self._address} {difference}")
            return None
        return TwoEnds(self._here, self._server, source, table, carefully)

    def _compare(
        self, name: str, ends: TwoEnds, ranges: list[Any], found: Callable[[ServerRowDifference], None]
    ) -> None:
        there = ends.sums(ranges)
        for number, one in enumerate(ranges):
            if there.get(number, (0, 0)) == (one.rows, one.total):
                self.rows += one.rows
                continue
            here_only = unlike = 0
            for pair in ends.differing(one):
                unlike += 1
                here_only += pair.here is not None
                found(ServerRowDifference(name, ends, pair, self._swapped))
            self.differences += unlike
            self.rows += one.rows - here_only

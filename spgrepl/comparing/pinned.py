"""Comparing a database with a copy of it, both at one position. Blocking."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import attrs

from spgrepl.base.results import Position
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.key_ranges import Layout, RowDifference, TableEnds, layout_of
from spgrepl.comparing.pinning import pin
from spgrepl.errors import EngineFailed
from spgrepl.sqlite.compared_rows import Told, count_rows, tell_nobody
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import fold_ascii

HOLD_SECONDS = 10.0
"""So long one database may be held until the other one has come to its position."""


@attrs.frozen
class PinnedComparison:
    """What a comparison at one position found.

    Attributes:
        position: Where both stood.
        held: For how many seconds one of them could not be written.
        tables: How many tables were compared.
        rows: How many rows were found equal.
        differences: How many rows differ.
        unlike: The tables that are not in both, or do not look the same, with what is unlike.
    """

    position: Position
    held: float
    tables: int
    rows: int
    differences: int
    unlike: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.differences or self.unlike)


def compare_pinned(
    first: Path,
    second: Path,
    tables: Collection[str] | None = None,
    found: Callable[[RowDifference], None] = lambda _: None,
    seconds: float = HOLD_SECONDS,
    *,
    subscription: str | None = None,
    told: Told = tell_nobody,
) -> PinnedComparison:
    """Compare the rows of two databases of one history at one position, while both are written.

    Ranges of each table's keys are summed up at both ends at the same time; the rows of those that differ are
    compared one by one. Inner tables of virtual tables are compared like any others.

    Args:
        first: What is right.
        second: A copy of it.
        tables: The tables to compare; None for all.
        found: Called with each row that differs.
        seconds: For how long one of them may be held.
        subscription: Whose position counts where the second has several subscriptions.
        told: Called now and then with how far it is.

    Raises:
        ConfigurationError, UsageError, DifferentHistory, WaitTimeout, EngineFailed: As
            `spgrepl.comparing.pinning.pin`.
    """
    with contextlib.ExitStack() as stack:
        try:
            ends = _open_ends(stack, first, second, subscription)
            pinned = pin(*ends, seconds)
            threads = stack.enter_context(ThreadPoolExecutor(max_workers=2))

            def together(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
                running = threads.submit(one), threads.submit(other)
                return running[0].result(), running[1].result()

            connections = ends[0].connection, ends[1].connection
            layouts, unlike = _layouts(connections, tables)
            total = sum(count_rows(connections[0], layout.name) for layout in layouts)
            rows = differences = 0
            for layout in layouts:
                table = TableEnds(connections, layout, together)
                for one in table.differences(tell_of_table(told, layout.name, rows, total)):
                    differences += 1
                    found(one)
                rows += table.rows
        except apsw.Error as error:
            raise EngineFailed(f"{first} and {second} cannot be compared: {error}") from error
    return PinnedComparison(pinned.position, pinned.held, len(layouts), rows, differences, unlike)


def _open_ends(
    stack: contextlib.ExitStack, first: Path, second: Path, subscription: str | None
) -> tuple[SqliteEnd, SqliteEnd]:
    right = stack.enter_context(contextlib.closing(SqliteEnd(first)))
    return right, stack.enter_context(contextlib.closing(SqliteEnd(second, subscription)))


def tell_of_table(told: Told, table: str, before: int, total: int) -> Callable[[int], None]:
    """What takes how many rows of a table were compared, where others were compared before it."""
    return lambda rows: told(before + rows, total, table)


def _layouts(
    connections: tuple[apsw.Connection, apsw.Connection], tables: Collection[str] | None
) -> tuple[list[Layout], tuple[str, ...]]:
    wanted = None if tables is None else {fold_ascii(name) for name in tables}
    first, second = (_tables(connection, wanted) for connection in connections)
    unlike = [f"table {name}: in the first only" for name in sorted(first.keys() - second.keys())]
    unlike += [f"table {name}: in the second only" for name in sorted(second.keys() - first.keys())]
    known = {fold_ascii(name) for name in first.keys() | second.keys()}
    unlike += [f"table {name}: neither database has it" for name in sorted((wanted or set()) - known)]
    layouts = []
    for name in sorted(first.keys() & second.keys()):
        if first[name] == second[name]:
            layouts.append(first[name])
        else:
            unlike.append(f"table {name}: its columns or its key are not the same")
    return layouts, tuple(unlike)


def _tables(connection: apsw.Connection, wanted: set[str] | None) -> dict[str, Layout]:
    listed = connection.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')"
    )
    return {
        name: layout_of(connection, name)
        for name in [str(found) for (found,) in listed.fetchall()]
        if not fold_ascii(name).startswith((OWN_PREFIX, "sqlite_"))
        and (wanted is None or fold_ascii(name) in wanted)
    }

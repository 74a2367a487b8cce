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
from spgrepl.comparing.ends import ReadableEnd, SqliteEnd
from spgrepl.comparing.key_ranges import RowDifference, TableEnds
from spgrepl.comparing.pinning import pin
from spgrepl.comparing.table_reader import Layout, TableReader
from spgrepl.errors import EngineFailed
from spgrepl.sqlite.compared_rows import Told, tell_nobody
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
) -> PinnedComparison:
    """Compare the rows of two databases in files; see `compare_ends`.

    Args:
        first: What is right.
        second: A copy of it.
        tables: The tables to compare; None for all.
        found: Called with each row that differs.
        seconds: For how long one of them may be held.
    """
    with contextlib.closing(SqliteEnd(first)) as one, contextlib.closing(SqliteEnd(second)) as other:
        return compare_ends(one, other, tables, found, seconds)


def compare_ends(
    first: ReadableEnd,
    second: ReadableEnd,
    tables: Collection[str] | None = None,
    found: Callable[[RowDifference], None] = lambda _: None,
    seconds: float = HOLD_SECONDS,
    *,
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
        told: Called now and then with how far it is.

    Raises:
        ConfigurationError, UsageError, DifferentHistory, WaitTimeout, EngineFailed: As
            `spgrepl.comparing.pinning.pin`.
    """
    try:
        pinned = pin(first, second, seconds)
        with ThreadPoolExecutor(max_workers=2) as threads:

            def together(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
                running = threads.submit(one), threads.submit(other)
                return running[0].result(), running[1].result()

            readers = first.reader, second.reader
            layouts, unlike = _layouts(readers, tables)
            total = sum(readers[0].count(layout) for layout in layouts)
            rows = differences = 0
            for layout in layouts:
                table = TableEnds(readers, layout, together)
                for one in table.differences(tell_of_table(told, layout.name, rows, total)):
                    differences += 1
                    found(one)
                rows += table.rows
    except apsw.Error as error:
        raise EngineFailed(f"{first} and {second} cannot be compared: {error}") from error
    return PinnedComparison(pinned.position, pinned.held, len(layouts), rows, differences, unlike)


def tell_of_table(told: Told, table: str, before: int, total: int) -> Callable[[int], None]:
    """What takes how many rows of a table were compared, where others were compared before it."""
    return lambda rows: told(before + rows, total, table)


def _layouts(
    readers: tuple[TableReader, TableReader], tables: Collection[str] | None
) -> tuple[list[Layout], tuple[str, ...]]:
    wanted = None if tables is None else {fold_ascii(name) for name in tables}
    first, second = (
        {name: one for name, one in reader.layouts().items() if wanted is None or fold_ascii(name) in wanted}
        for reader in readers
    )
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

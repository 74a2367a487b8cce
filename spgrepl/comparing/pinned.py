"""Comparing a database with a copy of it: both at one position, or each as it is. Blocking."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import apsw
import attrs

from spgrepl.comparing.differences import RowDifference
from spgrepl.comparing.ends import ComparedEnd, SqliteEnd
from spgrepl.comparing.key_ranges import TableEnds
from spgrepl.comparing.matching import Matched, match
from spgrepl.comparing.pinning import Pinned, pin
from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.sqlite.compared_rows import Told, tell_nobody
from spgrepl.sqlite.comparison import Comparison

HOLD_SECONDS = 10.0
"""So long one database may be held until the other one has come to its position."""

MOST_SHOWN = 5
"""Where positions do not count, so many rows of a table are named; of more it is said that there are more."""


@attrs.frozen
class PinnedComparison(Pinned):
    """What a comparison at one position found; and where that was, see `Pinned`.

    Attributes:
        tables: How many tables were compared.
        rows: How many rows were found equal.
        differences: How many rows differ.
        unlike: The tables that are not in both, or do not look the same, with what is unlike.
    """

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
    first: ComparedEnd,
    second: ComparedEnd,
    tables: Collection[str] | None = None,
    found: Callable[[RowDifference], None] = lambda _: None,
    seconds: float = HOLD_SECONDS,
    *,
    told: Told = tell_nobody,
) -> PinnedComparison:
    """Compare the rows of two databases of one history at one position, while both are written.

    Ranges of each table's keys are summed up at both ends at the same time; the rows of those that differ are
    compared one by one. Inner tables of virtual tables are compared like any others, where both are SQLite. Of
    PostgreSQL equal is what its columns can tell: in one of type numeric 1 and 1.0 are.

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
        with _comparing(first, second, tables, told) as comparing:
            differences = 0
            for table in comparing.tables():
                for one in table:
                    differences += 1
                    found(one)
    except apsw.Error as error:
        raise EngineFailed(f"{first} and {second} cannot be compared: {error}") from error
    matched, rows = comparing.matched, comparing.rows
    return PinnedComparison(pinned.position, pinned.held, len(matched.pairs), rows, differences, matched.unlike)


def compare_now(
    first: ComparedEnd,
    second: ComparedEnd,
    tables: Collection[str] | None = None,
    told: Told = tell_nobody,
) -> Comparison:
    """Compare the rows of two databases as each is at this moment, wherever it stands; see `compare_ends`.

    Args:
        first: A database.
        second: The other one.
        tables: The tables to compare; None for all.
        told: Called now and then with how far it is.

    Raises:
        LocalFilesDamaged: One is not a SQLite database, or is damaged.
        EngineFailed: A server cannot be reached, or ends the connection.
        ConfigurationError: It refuses.
    """
    differences: list[str] = []
    try:
        first.see()
        second.see()
        with _comparing(first, second, tables, told) as comparing:
            differences += comparing.matched.unlike
            for table in comparing.tables():
                differences += [one.between(first, second) for one in islice(table, MOST_SHOWN)]
                more = next(table, None)
                if more is not None:
                    differences.append(f"table {more.layouts[0].name}: more rows differ")
    except apsw.Error as error:
        raise LocalFilesDamaged(f"{first} and {second} cannot be compared: {error}") from error
    compared = len(comparing.matched.pairs) + len(comparing.matched.unlike)
    return Comparison(compared, comparing.rows, tuple(differences))


class _Comparing:
    """One comparison of two databases, each read as of one moment."""

    def __init__(
        self,
        ends: tuple[ComparedEnd, ComparedEnd],
        tables: Collection[str] | None,
        threads: ThreadPoolExecutor,
        told: Told,
    ) -> None:
        self._readers = ends[0].reader, ends[1].reader
        self._threads = threads
        self._told = told
        self.matched: Matched = match(self._readers, tables)
        self.rows = 0

    def tables(self) -> Iterator[Iterator[RowDifference]]:
        """What differs, table after table."""
        total = sum(self._readers[0].count(pair[0]) for pair in self.matched.pairs)
        for pair in self.matched.pairs:
            ends = TableEnds(self._readers, pair, self._together)
            yield ends.differences(_tell_of_table(self._told, pair[0].name, self.rows, total))
            self.rows += ends.rows

    def _together(self, one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
        running = self._threads.submit(one), self._threads.submit(other)
        return running[0].result(), running[1].result()


@contextlib.contextmanager
def _comparing(
    first: ComparedEnd, second: ComparedEnd, tables: Collection[str] | None, told: Told
) -> Iterator[_Comparing]:
    with ThreadPoolExecutor(max_workers=2) as threads:
        yield _Comparing((first, second), tables, threads, told)


def _tell_of_table(told: Told, table: str, before: int, total: int) -> Callable[[int], None]:
    """What takes how many rows of a table were compared, where others were compared before it."""
    return lambda rows: told(before + rows, total, table)

"""The tables of one database as a comparison reads them: what they look like, ranges of keys, checksums, rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import attrs

from spgrepl.postgresql.column_types import ColumnType

ROWS_IN_A_RANGE = 5000

SQLITE, POSTGRESQL = "sqlite", "postgresql"
"""The kinds of readers."""

Key = tuple[Any, ...]
Row = tuple[Any, ...]
"""A row as its reader gives it: a SQLite database's values, or the canonical texts of a server's."""

Sum = tuple[int, str]
"""How many rows a range has, and a checksum of them."""


@attrs.frozen
class Layout:
    """What of a table is compared at one end, and how its rows are told apart.

    Attributes:
        name: The table.
        key: The columns that name a row: its primary key, or its row number; none where it has neither.
        columns: All columns with values of their own, the row number among them where it is the key.
        ordered: So many columns of the key, from the first on, are in the same order at any end: ranges are made
            of them.
        nullable: Whether a column of the key may be NULL: such a row has no name.
        numbered: Whether the key is the row's number.
        inner: Whether it is an inner table of a virtual one.
        types: What the columns are in PostgreSQL, where one of the two ends is: rows are compared as what these
            can hold. Else none: values are compared with their types.
        in_server: Whether the table itself is there.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    ordered: int = 0
    nullable: bool = False
    numbered: bool = False
    inner: bool = False
    types: tuple[ColumnType, ...] = ()
    in_server: bool = False

    @property
    def places(self) -> list[int]:
        """Where the key stands among the columns."""
        return [self.columns.index(name) for name in self.key]


@attrs.frozen
class KeyRange:
    """Rows whose key is above one and not above another; None for no limit.

    Attributes:
        above: Values of the first columns of the key, as many as are ordered.
        last: The same.
        nameless: Whether it is the rows instead that have NULL in their key; no range has these otherwise.
    """

    above: Key | None = None
    last: Key | None = None
    nameless: bool = False


class TableReader(ABC):
    """Reads the tables of one database, all as of one moment. Blocking.

    Attributes:
        kind: `SQLITE`, or `POSTGRESQL`.
    """

    kind: str

    @abstractmethod
    def layouts(self, names: Collection[str] | None = None) -> dict[str, Layout]:
        """What there is to compare, by the name of the table.

        Args:
            names: The tables that are wanted; None for all.
        """

    @abstractmethod
    def fit(self, layout: Layout) -> Layout | str:
        """What the database has as a table of another kind of database: the same columns, with its own types.

        Returns:
            It, or what is in the way, for people.
        """

    @abstractmethod
    def count(self, layout: Layout) -> int:
        """How many rows a table has."""

    @abstractmethod
    def stops(self, layout: Layout, within: KeyRange) -> Iterator[Key]:
        """The keys at which a range is cut, each the last of so many rows."""

    @abstractmethod
    def sums(self, layout: Layout, ranges: Sequence[KeyRange]) -> list[Sum]:
        """The sums of ranges that follow one another."""

    @abstractmethod
    def read(self, layout: Layout, one: KeyRange) -> Iterator[list[Row]]:
        """The rows of a range."""

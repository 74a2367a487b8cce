"""What a catalog says, as frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs

from spgrepl.spg.values.types import SpgType


@attrs.frozen
class Column:
    """A column of a table.

    Attributes:
        name: Its name.
        type: Its type.
        nullable: Whether NULL is allowed.
        default: The value that stands for a missing one, as a value of SQLite; see `has_default`.
        has_default: Whether there is one, which may be NULL.
        auto_increment: Whether SPG numbers the rows by it (the greatest so far, and 1).
        extras: What else the file says of it, by name: labels, flags, texts.
    """

    name: str
    type: SpgType
    nullable: bool
    default: Any = None
    has_default: bool = False
    auto_increment: bool = False
    extras: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Uniqueness:
    """A primary key or a unique constraint.

    Attributes:
        primary: Whether it is the primary key.
        columns: Positions of its columns.
        nulls_not_distinct: Whether NULLs count as equal.
        name: Its name; None where it has none.
    """

    primary: bool
    columns: tuple[int, ...]
    nulls_not_distinct: bool = False
    name: str | None = None


class Action(enum.Enum):
    """What a foreign key does when its parent goes or changes; the value is its SQL."""

    RESTRICT = "RESTRICT"
    CASCADE = "CASCADE"
    SET_NULL = "SET NULL"
    SET_DEFAULT = "SET DEFAULT"
    NO_ACTION = "NO ACTION"


ACTIONS = tuple(Action)


@attrs.frozen
class ForeignKey:
    """A foreign key.

    Attributes:
        name: Its name; None where it has none.
        columns: Positions of its columns.
        parent: The table that it refers to.
        parent_columns: Positions of the columns there.
        on_delete: What happens when the parent's row goes.
        on_update: What happens when its key changes.
    """

    name: str | None
    columns: tuple[int, ...]
    parent: str
    parent_columns: tuple[int, ...]
    on_delete: Action
    on_update: Action


@attrs.frozen
class Check:
    """A check.

    Attributes:
        sql: Its expression.
        name: Its name; None where it has none.
        valid: Whether all rows were checked.
    """

    sql: str
    name: str | None = None
    valid: bool = True


class IndexKind(enum.Enum):
    """What an index is; the value is what users read."""

    BTREE = "btree"
    HNSW = "hnsw"
    BRIN = "brin"
    GIN = "gin"
    TRIGRAM = "trigram"
    FULLTEXT = "fulltext"
    JSONB = "jsonb"
    COMPOSITE = "btree of several columns"


@attrs.frozen
class Index:
    """An index.

    Attributes:
        name: Its name.
        column: Position of its first column.
        kind: What it is.
        unique: Whether its keys are unique.
        further: Positions of its other columns.
        included: Positions of columns that it only carries.
        predicate: The condition of a partial index; None where it has none.
        expression: What is indexed instead of the column; None where it is the column.
        nulls_not_distinct: Whether NULLs count as equal.
        descending: Whether the first column is in falling order.
        prefix: How many characters of the column are indexed; None for all.
        of_constraint: Whether SPG made it for a constraint.
        entries_at: Where its entries start in the file, and `entries` how many there are, for B-trees.
        entries: See `entries_at`.
        cold: How many rows of each segment it says to be alive.
    """

    name: str
    column: int
    kind: IndexKind
    unique: bool = False
    further: tuple[int, ...] = ()
    included: tuple[int, ...] = ()
    predicate: str | None = None
    expression: str | None = None
    nulls_not_distinct: bool = False
    descending: bool = False
    prefix: int | None = None
    of_constraint: bool = False
    entries_at: int = 0
    entries: int = 0
    cold: Mapping[int, int] = attrs.field(factory=dict)


@attrs.frozen
class Table:
    """A table.

    Attributes:
        name: Its name.
        columns: Its columns.
        rows_at: Where its rows start in the file.
        rows_end: Where they end.
        stored: How many rows stand there, dead ones included.
        dead: How many of those are dead.
        headers_at: Where the row headers start, which say who is dead; None below version 53.
        indexes: Its indexes.
        uniqueness: Its primary key and unique constraints; always empty below version 15.
        foreign_keys: Its foreign keys; always empty below 13.
        checks: Its checks; always empty below 23.
        extras: What else the file says of it, by name.
    """

    name: str
    columns: tuple[Column, ...]
    rows_at: int
    rows_end: int
    stored: int
    dead: int = 0
    headers_at: int | None = None
    indexes: tuple[Index, ...] = ()
    uniqueness: tuple[Uniqueness, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    extras: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def hot(self) -> int:
        """How many rows in the file are alive."""
        return self.stored - self.dead

    @property
    def freeze_index(self) -> Index | None:
        """The index that says which rows of which segments are this table's; None where it cannot have any."""
        for index in self.indexes:
            if index.kind is IndexKind.BTREE and self.columns[index.column].type.is_integer:
                return index
        return None

    @property
    def cold(self) -> Mapping[int, int]:
        """How many rows of each segment are alive, by the segment's id."""
        index = self.freeze_index
        return {} if index is None else index.cold


@attrs.frozen
class View:
    """A view, as text.

    Attributes:
        name: Its name.
        columns: The names that it gives its columns; none where they are the query's.
        sql: Its query.
        materialized: Whether its rows are stored, as the table of that name.
    """

    name: str
    columns: tuple[str, ...]
    sql: str
    materialized: bool = False

"""What `grammar` makes of a statement: values, which know nothing of tables and types."""

from __future__ import annotations

from typing import NamedTuple

import attrs


class TypeName(NamedTuple):
    """A type as it is written.

    Attributes:
        name: Its name in small letters, its words joined by a blank.
        parameters: Its numbers.
        dimensions: How often ``[]`` stands after it.
        using: What follows USING; empty where nothing does.
    """

    name: str
    parameters: tuple[int, ...] = ()
    dimensions: int = 0
    using: str = ""


class TableName(NamedTuple):
    """A table as it is written; the schema ``public`` is left out."""

    name: str
    alias: str = ""


@attrs.frozen
class Const:
    """A literal, by its number; `negated` where a minus sign stands before it."""

    slot: int
    negated: bool = False


@attrs.frozen
class Plain:
    """NULL, TRUE or FALSE."""

    value: bool | None


@attrs.frozen
class Column:
    """A column; `table` is empty where none is named."""

    table: str
    name: str


@attrs.frozen
class Star:
    """``*`` or ``t.*``."""

    table: str = ""


@attrs.frozen
class Default:
    """The word DEFAULT in the place of a value."""


@attrs.frozen
class Unary:
    """NOT, ``-``, IS NULL, IS NOT NULL."""

    operator: str
    operand: Expression


@attrs.frozen
class Binary:
    """An operator between two: in capitals where it is a word."""

    operator: str
    left: Expression
    right: Expression


@attrs.frozen
class Between:
    """BETWEEN."""

    operand: Expression
    low: Expression
    high: Expression
    negated: bool


@attrs.frozen
class In:
    """IN, with expressions or with a query."""

    operand: Expression
    items: tuple[Expression, ...]
    query: Select | None
    negated: bool


@attrs.frozen
class Like:
    """LIKE and ILIKE."""

    operand: Expression
    pattern: Expression
    escape: Expression | None
    ignore_case: bool
    negated: bool


@attrs.frozen
class Case:
    """CASE."""

    operand: Expression | None
    whens: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None


@attrs.frozen
class Call:
    """A function; `star` for ``count(*)``."""

    name: str
    arguments: tuple[Expression, ...]
    star: bool = False
    distinct: bool = False


@attrs.frozen
class Cast:
    """CAST, ``::``, or a type in front of a string."""

    operand: Expression
    type: TypeName


@attrs.frozen
class Array:
    """``ARRAY[…]``."""

    items: tuple[Expression, ...]


@attrs.frozen
class Exists:
    """EXISTS."""

    query: Select


@attrs.frozen
class Scalar:
    """A query in the place of a value."""

    query: Select


@attrs.frozen
class Source:
    """A table or query that rows come from.

    Attributes:
        table: The table; None for a query.
        query: The query.
        alias: Its alias; empty where it has none.
        join: How it is joined to those before, such as ``LEFT JOIN`` or ``,``; empty for the first.
        on: The condition.
    """

    table: str | None
    query: Select | None
    alias: str
    join: str = ""
    on: Expression | None = None


@attrs.frozen
class Order:
    """A column of ORDER BY."""

    key: Expression
    descending: bool
    nulls_first: bool | None


@attrs.frozen
class Select:
    """A query.

    Attributes:
        items: What it selects, with aliases.
        sources: Where from.
        where: The condition.
        group: GROUP BY.
        having: HAVING.
        order: ORDER BY.
        limit: LIMIT and OFFSET.
        offset: See `limit`.
        distinct: Whether DISTINCT stands there.
        into: The table of SELECT INTO.
        ctes: The queries of a WITH, by name.
        values: The rows of VALUES, instead of all else.
    """

    items: tuple[tuple[Expression, str], ...] = ()
    sources: tuple[Source, ...] = ()
    where: Expression | None = None
    group: tuple[Expression, ...] = ()
    having: Expression | None = None
    order: tuple[Order, ...] = ()
    limit: Expression | None = None
    offset: Expression | None = None
    distinct: bool = False
    into: str = ""
    ctes: tuple[tuple[str, Select], ...] = ()
    values: tuple[tuple[Expression, ...], ...] = ()


@attrs.frozen
class Conflict:
    """ON CONFLICT, or ON DUPLICATE KEY.

    Attributes:
        columns: The columns of the key; empty for any key.
        constraint: The name of a constraint, instead.
        assignments: What is set; None for DO NOTHING.
        where: The condition.
    """

    columns: tuple[str, ...]
    constraint: str
    assignments: tuple[tuple[str, Expression], ...] | None
    where: Expression | None


@attrs.frozen
class Insert:
    """INSERT and REPLACE.

    Attributes:
        table: Where.
        columns: The columns that are named; None where none are.
        query: The rows; None for DEFAULT VALUES.
        conflict: What is done about a row that is there.
        replace: Whether it is MySQL's REPLACE.
        overriding: ``SYSTEM``, ``USER`` or empty.
        ctes: The queries of a WITH, by name.
    """

    table: TableName
    columns: tuple[str, ...] | None
    query: Select | None
    conflict: Conflict | None = None
    replace: bool = False
    overriding: str = ""
    ctes: tuple[tuple[str, Select], ...] = ()


@attrs.frozen
class Update:
    """UPDATE."""

    table: TableName
    assignments: tuple[tuple[str, Expression], ...]
    sources: tuple[Source, ...]
    where: Expression | None
    ctes: tuple[tuple[str, Select], ...] = ()


@attrs.frozen
class Delete:
    """DELETE."""

    table: TableName
    sources: tuple[Source, ...]
    where: Expression | None
    ctes: tuple[tuple[str, Select], ...] = ()


@attrs.frozen
class Truncate:
    """TRUNCATE."""

    tables: tuple[str, ...]
    cascade: bool


Expression = (
    Const
    | Plain
    | Column
    | Star
    | Default
    | Unary
    | Binary
    | Between
    | In
    | Like
    | Case
    | Call
    | Cast
    | Array
    | Exists
    | Scalar
)
Statement = Insert | Update | Delete | Truncate | Select

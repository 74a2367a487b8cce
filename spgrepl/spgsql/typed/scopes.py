"""The columns that an expression may name: those of its own query, then those of the queries around it."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.stops import StatementStopped, TypeUnknown
from spgrepl.spgsql.typed.schema import TableInfo
from spgrepl.spgsql.typed.typing_rules import Compiled
from spgrepl.text.sqltext import fold_ascii, quote_name


@attrs.frozen
class Rows:
    """Something that rows come from.

    Attributes:
        alias: What it is called in the statement, in small letters.
        columns: The types of its columns, by name in small letters; None for a type that is not known.
    """

    alias: str
    columns: Mapping[str, SpgType | None]

    @classmethod
    def of_table(cls, table: TableInfo, alias: str) -> Rows:
        """The rows of a table."""
        return cls(fold_ascii(alias), {fold_ascii(column.name): column.type for column in table.columns})


@attrs.frozen
class Scope:
    """What may be named.

    Attributes:
        rows: The tables and queries.
        outer: What the query around this one may name.
    """

    rows: tuple[Rows, ...] = ()
    outer: Scope | None = None

    def column(self, table: str, name: str) -> Compiled:
        """A column.

        Raises:
            StatementStopped: There is none of that name, or more than one.
        """
        table, folded = fold_ascii(table), fold_ascii(name)
        scope: Scope | None = self
        while scope is not None:
            found = [one for one in scope.rows if (not table or one.alias == table) and folded in one.columns]
            if len(found) > 1:
                raise StatementStopped(f"the column {name} is of more than one table")
            if found:
                kind = found[0].columns[folded]
                if kind is None:
                    raise TypeUnknown(name)
                return Compiled(f"{quote_name(found[0].alias)}.{quote_name(folded)}", kind)
            scope = scope.outer
        raise StatementStopped(f"there is no column {table + '.' if table else ''}{name} here")

"""Publications as values: what each takes, and what several take together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from spgrepl.publications.statements import (
    CatalogChange,
    CreatePublication,
    DropPublication,
    Scope,
)


@attrs.frozen
class TableFilter:
    """A set of tables, or all but a set of tables. Equal filters accept the same records and share their work.

    Attributes:
        tables: Table names, folded as PostgreSQL does; ``public.`` is left out.
        inverted: Whether all tables but those are accepted.
    """

    tables: frozenset[str] = frozenset()
    inverted: bool = False

    def accepts(self, tables: frozenset[str]) -> bool:
        """Whether a record that changes these tables is accepted: any one of them suffices."""
        if self.inverted:
            return not tables <= self.tables
        return not tables.isdisjoint(self.tables)

    def __or__(self, other: TableFilter) -> TableFilter:
        """What at least one of two filters accepts."""
        if self.inverted and other.inverted:
            return TableFilter(self.tables & other.tables, inverted=True)
        if self.inverted or other.inverted:
            excluded, wanted = (self, other) if self.inverted else (other, self)
            return TableFilter(excluded.tables - wanted.tables, inverted=True)
        return TableFilter(self.tables | other.tables)


EVERY_TABLE = TableFilter(inverted=True)
NO_TABLE = TableFilter()


def filter_of(publication: CreatePublication) -> TableFilter:
    """What one publication takes."""
    return TableFilter(frozenset(publication.tables), publication.scope is not Scope.ONLY)


@attrs.frozen
class Publications:
    """The publications of a database at one position of its log.

    Attributes:
        by_name: The definitions.
    """

    by_name: Mapping[str, CreatePublication] = attrs.field(factory=dict)

    def after(self, change: CatalogChange) -> Publications:
        """The publications behind a change that stands in the log.

        What exists is replaced and what is missing dropped without complaint: the master has judged that. A change
        of subscriptions changes nothing here.
        """
        if isinstance(change, CreatePublication):
            return Publications({**self.by_name, change.name: change})
        if isinstance(change, DropPublication):
            return Publications({name: one for name, one in self.by_name.items() if name != change.name})
        return self

    def filter_for(self, names: Iterable[str]) -> tuple[TableFilter, tuple[str, ...]]:
        """What several publications take together.

        Args:
            names: The publications that a subscriber asks for; none at all means every table.

        Returns:
            The filter, and those names that are unknown, which add nothing to it.
        """
        wanted = tuple(names)
        if not wanted:
            return EVERY_TABLE, ()
        found = NO_TABLE
        for name in wanted:
            if name in self.by_name:
                found |= filter_of(self.by_name[name])
        return found, tuple(name for name in wanted if name not in self.by_name)

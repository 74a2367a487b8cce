"""Publications as values: what each takes, and what several take together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from spgrepl.catalogue.statements import (
    CatalogChange,
    CreatePublication,
    DropPublication,
    Scope,
)
from spgrepl.text.sqltext import fold_ascii

LONGEST_NAME = 64 * 1024 - 28
"""The longest name of a publication, in bytes: one that a subscriber's hello has room for."""

MOST_ASKED_FOR = 1000
"""The most publications that a subscriber can ask for."""


@attrs.frozen
class TableFilter:
    """A set of tables, or all but a set of tables. Equal filters accept the same records and share their work.

    Attributes:
        tables: Table names, folded as PostgreSQL does; ``public.`` is left out.
        inverted: Whether all tables but those are accepted.
        any_case: Whether capital letters of ASCII make no other table, as in SQLite, where quotes change nothing
            about that; the names in `tables` are in lower case then.
    """

    tables: frozenset[str] = frozenset()
    inverted: bool = False
    any_case: bool = False

    def accepts(self, tables: frozenset[str]) -> bool:
        """Whether a record that changes these tables is accepted: any one of them suffices."""
        if self.any_case:
            tables = frozenset(map(fold_ascii, tables))
        if self.inverted:
            # SQLite's own tables, such as its counters, are nobody's to publish.
            return any(not table.startswith("sqlite_") for table in tables - self.tables)
        return not tables.isdisjoint(self.tables)

    def __or__(self, other: TableFilter) -> TableFilter:
        """What at least one of two filters accepts, both of which look at capital letters alike."""
        if self.inverted and other.inverted:
            return TableFilter(self.tables & other.tables, True, self.any_case)
        if self.inverted or other.inverted:
            excluded, wanted = (self, other) if self.inverted else (other, self)
            return TableFilter(excluded.tables - wanted.tables, True, self.any_case)
        return TableFilter(self.tables | other.tables, False, self.any_case)


EVERY_TABLE = TableFilter(inverted=True)
NO_TABLE = TableFilter()


def filter_of(publication: CreatePublication, any_case: bool = False) -> TableFilter:
    """What one publication takes."""
    names = (fold_ascii(name) if any_case else name for name in publication.tables)
    return TableFilter(frozenset(names), publication.scope is not Scope.ONLY, any_case)


@attrs.frozen
class Publications:
    """The publications of a database at one position of its log.

    Attributes:
        by_name: The definitions.
        any_case: Whether the database is one in which capital letters make no other table.
    """

    by_name: Mapping[str, CreatePublication] = attrs.field(factory=dict)
    any_case: bool = False

    def after(self, change: CatalogChange) -> Publications:
        """The publications after a change that stands in the log.

        What exists is replaced and what is missing dropped without complaint: the master has judged that. A change
        of subscriptions changes nothing here.
        """
        if isinstance(change, CreatePublication):
            return attrs.evolve(self, by_name={**self.by_name, change.name: change})
        if isinstance(change, DropPublication):
            left = {name: one for name, one in self.by_name.items() if name != change.name}
            return attrs.evolve(self, by_name=left)
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
        found = TableFilter(any_case=self.any_case)
        for name in wanted:
            if name in self.by_name:
                found |= filter_of(self.by_name[name], self.any_case)
        return found, tuple(name for name in wanted if name not in self.by_name)

"""Publications after a table was given another name."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import CreatePublication, DropPublication, Scope
from spgrepl.text.sqltext import fold_ascii, quote_name

_LISTS = {Scope.ALL: "", Scope.ONLY: " FOR TABLE ", Scope.EXCEPT: " FOR ALL TABLES EXCEPT "}


def after_rename(
    publications: Publications, table: str, new_name: str
) -> Iterator[DropPublication | CreatePublication]:
    """The changes that let publications follow a table of SQLite to its new name.

    Args:
        publications: The publications before.
        table: The table's old name; capital letters of ASCII make no other name.
        new_name: The new one.

    Yields:
        For each publication that names the table its drop, and its creation with the new name.
    """
    old = fold_ascii(table)
    for name, publication in sorted(publications.by_name.items()):
        tables = tuple(new_name if fold_ascii(one) == old else one for one in publication.tables)
        if tables != publication.tables:
            yield DropPublication(name)
            yield attrs.evolve(publication, tables=tables)


def text_of(change: DropPublication | CreatePublication) -> str:
    """A change of the catalogue as the statement that states it."""
    name = quote_name(change.name)
    if isinstance(change, DropPublication):
        return f"DROP PUBLICATION {name}"
    return f"CREATE PUBLICATION {name}{_LISTS[change.scope]}{', '.join(map(quote_name, change.tables))}"

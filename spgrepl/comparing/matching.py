"""Which tables of two databases can be compared with each other, and what is in the way of the others."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from spgrepl.comparing.table_reader import POSTGRESQL, SQLITE, Layout, TableReader
from spgrepl.postgresql.comparing.canonical import family_of
from spgrepl.text.sqltext import fold_ascii

Readers = tuple[TableReader, TableReader]


@attrs.frozen
class Matched:
    """What can be compared.

    Attributes:
        pairs: Each table, as both ends have it.
        unlike: The others, each with what is in the way.
    """

    pairs: tuple[tuple[Layout, Layout], ...]
    unlike: tuple[str, ...]


def match(readers: Readers, tables: Collection[str] | None) -> Matched:
    """Find the tables to compare.

    Args:
        readers: Read both databases.
        tables: Those that are wanted; None for all.
    """
    kinds = [reader.kind for reader in readers]
    if kinds[0] == kinds[1]:
        return _alike(readers, tables)
    place = kinds.index(SQLITE)
    return _unlike_databases(readers[place], readers[1 - place], tables, server_first=place == 1)


def _unlike_databases(
    sqlite: TableReader, server: TableReader, tables: Collection[str] | None, *, server_first: bool
) -> Matched:
    ours = {name: one for name, one in sqlite.layouts(tables).items() if not one.inner}
    known = set(map(fold_ascii, ours))
    unlike = [
        f"table {name}: the SQLite database does not have it"
        for name in sorted(tables or ())
        if fold_ascii(name) not in known
    ]
    pairs = []
    taken = set()
    for name in sorted(ours):
        layout = ours[name]
        theirs = server.fit(layout)
        if isinstance(theirs, str) and layout.numbered:
            # A copy of an SPG server's table has no numbers of rows there: compared is all that they hold.
            bare = Layout(name, (), layout.columns[1:], inner=layout.inner)
            found = server.fit(bare)
            layout, theirs = (layout, theirs) if isinstance(found, str) else (bare, found)
        if isinstance(theirs, str):
            unlike.append(f"table {name}: {theirs}")
            continue
        taken.add(theirs.name)
        pair = _together(attrs.evolve(layout, types=theirs.types), theirs)
        pairs.append(pair[::-1] if server_first else pair)
    if tables is None:
        # One that does not fit was named with what is in the way.
        more = [name for name in server.layouts() if name not in taken and fold_ascii(name) not in known]
        unlike += [f"table {name}: in the {'first' if server_first else 'second'} only" for name in sorted(more)]
    return Matched(tuple(pairs), tuple(unlike))


def _alike(readers: Readers, tables: Collection[str] | None) -> Matched:
    first, second = (reader.layouts(tables) for reader in readers)
    unlike = [f"table {name}: in the first only" for name in sorted(first.keys() - second.keys())]
    unlike += [f"table {name}: in the second only" for name in sorted(second.keys() - first.keys())]
    known = first.keys() | second.keys()
    if readers[0].kind == SQLITE:
        known = set(map(fold_ascii, known))
    wanted = {fold_ascii(name) if readers[0].kind == SQLITE else name for name in tables or ()}
    unlike += [f"table {name}: neither database has it" for name in sorted(wanted - known)]
    pairs = []
    for name in sorted(first.keys() & second.keys()):
        reason = _difference(first[name], second[name], in_order=readers[0].kind != POSTGRESQL)
        if reason is None:
            pairs.append(_together(first[name], _in_order_of(first[name], second[name])))
        else:
            unlike.append(f"table {name}: {reason}")
    return Matched(tuple(pairs), tuple(unlike))


def _difference(one: Layout, other: Layout, *, in_order: bool) -> str | None:
    if in_order:
        alike = (one.columns, one.key) == (other.columns, other.key)
    else:
        alike = (set(one.columns), set(one.key)) == (set(other.columns), set(other.key))
    if not alike:
        return "its columns or its key are not the same"
    theirs = dict(zip(other.columns, other.types, strict=False))
    for column, kind in zip(one.columns, one.types, strict=False):
        if family_of(kind) != family_of(theirs[column]):
            return f"its column {column} is {kind.sql} in the first and {theirs[column].sql} in the second"
    return None


def _in_order_of(one: Layout, other: Layout) -> Layout:
    """A server's table with its columns in the order of another one's."""
    if not other.types:
        return other
    types = dict(zip(other.columns, other.types, strict=True))
    ordered = other.ordered if one.key == other.key else 0
    types_here = tuple(types[name] for name in one.columns)
    return attrs.evolve(other, key=one.key, columns=one.columns, ordered=ordered, types=types_here)


def _together(one: Layout, other: Layout) -> tuple[Layout, Layout]:
    """Both, with ranges of what is in the same order at both ends."""
    ordered = min(one.ordered, other.ordered)
    return attrs.evolve(one, ordered=ordered), attrs.evolve(other, ordered=ordered)

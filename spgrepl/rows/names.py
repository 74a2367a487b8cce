"""Names of tables and columns in canonical text."""

from __future__ import annotations

import re
from functools import lru_cache

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")

# All keywords of SQLite 3.54, and what is reserved in PostgreSQL, whose readers are to understand the log as well.
# The list belongs to the format: a text is canonical or not whatever SQLite reads it.
_KEYWORDS = frozenset(
    """
    abort action add after all alter always analyze and as asc attach autoincrement before begin between by
    cascade case cast check collate column commit conflict constraint create cross current current_date
    current_time current_timestamp database default deferrable deferred delete desc detach distinct do drop
    each else end escape except exclude exclusive exists explain fail filter first following for foreign from
    full generated glob group groups having if ignore immediate in index indexed initially inner insert
    instead intersect into is isnull join key last left like limit match materialized natural no not nothing
    notnull null nulls of offset on or order others outer over partition plan pragma preceding primary query
    raise range recursive references regexp reindex release rename replace restrict returning right rollback
    row rows savepoint select set table temp temporary then ties to transaction trigger unbounded union unique
    update using vacuum values view virtual when where window with without analyse any array asymmetric
    authorization binary both collation concurrently current_catalog current_role current_schema current_user
    false fetch freeze grant ilike lateral leading localtime localtimestamp only overlaps placing session_user
    similar some symmetric tablesample trailing true user variadic verbose
    """.split()
)

NAME_PATTERN = r'(?:[a-z_][a-z0-9_]*|"(?:[^"\0]|"")++")'
"""What `name_text` writes looks like this, though not all that looks like this was written by it."""


@lru_cache(maxsize=4096)
def name_text(name: str) -> str:
    """A name as canonical text: as it is where it is a plain lower-case word and no keyword, else in ``"``.

    Args:
        name: The name, as the schema has it.

    Raises:
        ValueError: It is empty or holds NUL, which no name of SQLite can.
    """
    if not name or "\0" in name:
        raise ValueError(f"{name!r} cannot be the name of a table or column")
    if _PLAIN.match(name) and name not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def name_of(text: str) -> str:
    """Read a name from what `NAME_PATTERN` matches."""
    return text[1:-1].replace('""', '"') if text[0] == '"' else text

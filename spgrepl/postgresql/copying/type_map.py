"""Types of SQLite's tables as types of PostgreSQL: by what is declared, and by what is really in the columns.

``docs/postgresql.md`` has this as a table.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import attrs

from spgrepl.text.sqltext import upper_ascii

INTEGER, REAL, TEXT, BLOB = "integer", "real", "text", "blob"
"""The kinds of values that SQLite tells apart; NULL fits everything."""

_BOOLEAN = re.compile(r"BOOL")
_TEXTUAL = re.compile(r"DATE|TIME|JSON|UUID|STRING|XML|INET|ENUM")
_KINDS_OF = {
    "bigint": frozenset({INTEGER}),
    "double precision": frozenset({REAL, INTEGER}),
    "numeric": frozenset({INTEGER, REAL}),
    "text": frozenset({TEXT}),
    "bytea": frozenset({BLOB}),
    "boolean": frozenset({INTEGER}),
}


@attrs.frozen
class MappedType:
    """The type of a column that is made.

    Attributes:
        sql: The type.
        loose: Whether it is a text column that takes numbers too: SQLite would read their text as numbers again.
    """

    sql: str
    loose: bool = False


def affinity(declared: str) -> str:
    """What SQLite makes of a declared type: ``INTEGER``, ``TEXT``, ``BLOB``, ``REAL`` or ``NUMERIC``."""
    text = upper_ascii(declared)
    if "INT" in text:
        return "INTEGER"
    if any(part in text for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in text or not text or text == "ANY":
        return "BLOB"
    if any(part in text for part in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


def map_type(declared: str, kinds: Collection[str] = (), only_booleans: bool = True) -> MappedType:
    """Choose the type for a column.

    Where the values cannot all be in one type, the one that is declared is chosen, and the first that does not fit
    is an error by name when it comes.

    Args:
        declared: The type that SQLite's table declares, such as ``VARCHAR(20)``.
        kinds: The kinds of values that are in it; none where there are no rows.
        only_booleans: Whether all integers in it are 0 or 1.
    """
    found = frozenset(kinds)
    text = upper_ascii(declared)
    of = affinity(declared)
    if of == "TEXT":
        return MappedType("text")
    if of == "INTEGER":
        return MappedType("numeric" if found in ({INTEGER, REAL}, {REAL}) else "bigint")
    if of == "REAL":
        return MappedType("double precision")
    if of == "BLOB":
        return MappedType(_by_content(found, "bytea" if "BLOB" in text else "text"))
    if _BOOLEAN.search(text) and found <= {INTEGER} and only_booleans:
        return MappedType("boolean")
    if _TEXTUAL.search(text):
        # NUMERIC to SQLite, so that a text that is a number is stored as one.
        return MappedType("text", loose=True) if not found or TEXT in found else MappedType("numeric")
    if found and found <= {TEXT}:
        return MappedType("text", loose=True)
    return MappedType("numeric")


def _by_content(found: frozenset[str], usual: str) -> str:
    if not found:
        return usual
    if found == {INTEGER}:
        return "bigint"
    if found == {REAL}:
        return "double precision"
    if found == {INTEGER, REAL}:
        return "numeric"
    if found == {TEXT}:
        return "text"
    return "bytea" if found == {BLOB} else usual


def kinds_of(sql: str) -> frozenset[str]:
    """The kinds of values that a type that is chosen here takes."""
    return _KINDS_OF[sql]

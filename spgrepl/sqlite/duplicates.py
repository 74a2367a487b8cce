"""Objects of the schema that a statement would make a second time."""

from __future__ import annotations

from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.text.sqltext import significant_tokens

_KINDS = ("TABLE", "INDEX", "VIEW", "TRIGGER")
_WORDS_BETWEEN = frozenset({"TEMP", "TEMPORARY", "UNIQUE", "UNLOGGED", "VIRTUAL"})
_FIND = "SELECT 1 FROM sqlite_master WHERE type = ? AND name = ? COLLATE NOCASE"


class DuplicateObject(Exception):
    """A CREATE names an object that is there already; it has changed nothing.

    Attributes:
        kind: ``table``, ``index``, ``view`` or ``trigger``.
        name: The object's name, as the statement has it.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"the {kind} {name} is there already")
        self.kind = kind
        self.name = name


def find_duplicate(connection: SqlConnection, statement: str) -> DuplicateObject | None:
    """Look whether a statement was refused because the object that it makes is there.

    SQLite has one error code for this and for all that is wrong with a statement, so the schema is asked.

    Args:
        connection: Where the statement was refused.
        statement: One statement.

    Returns:
        What is there; None where the statement makes something else or makes nothing.
    """
    named = _created(statement)
    if named is None or connection.execute(_FIND, named).fetchone() is None:
        return None
    return DuplicateObject(*named)


def _created(statement: str) -> tuple[str, str] | None:
    """The kind and name of what a CREATE statement makes."""
    tokens = significant_tokens(statement)
    if not tokens or tokens[0].upper != "CREATE":
        return None
    at = 1
    while at < len(tokens) and tokens[at].upper in _WORDS_BETWEEN:
        at += 1
    if at >= len(tokens) or tokens[at].upper not in _KINDS:
        return None
    kind = tokens[at].upper.lower()
    at += 1
    if [token.upper for token in tokens[at : at + 3]] == ["IF", "NOT", "EXISTS"]:
        at += 3
    if at + 2 < len(tokens) and tokens[at + 1].text == ".":
        at += 2
    name = tokens[at].name if at < len(tokens) else None
    return None if name is None else (kind, name)

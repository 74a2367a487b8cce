"""What no statement of a log may do to a copy: touch spgrepl's own tables, or the settings that it runs under.

A primary refuses such statements, so only the log of a careless or hostile master holds any. Every name that
begins with ``spgrepl_`` is spgrepl's own.
"""

from __future__ import annotations

from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import Token, TokenKind, fold_ascii, significant_tokens

_MARKS = (OWN_PREFIX, "pragma")
_MARKS_IN_UTF8 = tuple(mark.encode() for mark in _MARKS)

# SQLite takes a string for a name where only a name can stand.
_BEFORE_NAMES = frozenset(
    {"INTO", "UPDATE", "FROM", "JOIN", "TABLE", "INDEX", "VIEW", "TRIGGER", "EXISTS", "ON", "."}
)


def kept_for_others(name: str) -> str | None:
    """Why a table of a log may not have a name; None where it may."""
    for prefix, owner in ((OWN_PREFIX, "spgrepl"), ("sqlite_", "SQLite")):
        if fold_ascii(name).startswith(prefix):
            return f"{name} belongs to {owner}: names that begin with {prefix} are its own"
    return None


class ForbiddenStatement(Exception):
    """The statement may not be run on a copy; the message says why."""


def needs_a_look(script: bytes) -> bool:
    """Whether a text could hold a statement that `refuse_forbidden` refuses. Quick; errs on the side of yes."""
    lowered = script.lower()
    return any(mark in lowered for mark in _MARKS_IN_UTF8)


def refuse_forbidden(statement: str) -> None:
    """Look whether a statement may be run on a copy.

    Args:
        statement: One statement.

    Raises:
        ForbiddenStatement: It may not.
    """
    lowered = statement.lower()
    if not any(mark in lowered for mark in _MARKS):
        return
    tokens = significant_tokens(statement)
    if tokens and tokens[0].upper == "PRAGMA":
        raise ForbiddenStatement("PRAGMA would change the settings of the copy, which are not the log's to change")
    before = ""
    for token in tokens:
        name = _name(token, before)
        if name.lower().startswith(OWN_PREFIX):
            raise ForbiddenStatement(f"{name} belongs to spgrepl: names that begin with {OWN_PREFIX} are its own")
        before = token.upper


def _name(token: Token, before: str) -> str:
    if token.kind is TokenKind.STRING:
        return token.text[1:] if before in _BEFORE_NAMES else ""
    return token.name or ""

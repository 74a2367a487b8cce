"""Table names as PostgreSQL writes them, put as SQLite reads them: without the schema ``public``, without ONLY."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spgrepl.dialect.dependent import CURRENT_WORDS, DEPENDENT_FUNCTIONS, TIME_FUNCTIONS, apply_edits
from spgrepl.text.sqltext import Token, TokenKind, significant_tokens

PUBLIC = "public"

_BEFORE_ONLY = frozenset({"UPDATE", "FROM", "JOIN", "USING", ","})
# What stands after a table that is itself called only.
_BEHIND_A_TABLE = frozenset({"", "SET", "WHERE", "AS", "RETURNING", ",", ")", ";", "."})

# The common form: the schema stands in front of the one table that a statement changes, and nowhere else.
_COMMON = re.compile(
    rb"(?P<verb>(?i:INSERT[ ]INTO|UPDATE|DELETE[ ]FROM)[ ])(?:(?i:public)|\"public\")\.(?=[a-zA-Z_\"\x80-\xff])"
)
_DEPENDENT = "|".join(sorted(CURRENT_WORDS | DEPENDENT_FUNCTIONS | TIME_FUNCTIONS.keys()))
# What may make `with_plain_names` or a look for values of this machine find more: then those have the word.
_MORE = re.compile(rf"\b(?:public|only|{_DEPENDENT})\b".encode(), re.IGNORECASE)


def with_plain_tables(statements: Sequence[bytes]) -> Sequence[bytes]:
    """Leave out ``public.`` in front of the one table that a statement changes, where that is all there is.

    It is what `with_plain_names` does, for many statements and quickly: SQLite never knows a schema ``public``, so
    such a statement need not be tried as it is.

    Args:
        statements: Statements in UTF-8.

    Returns:
        The statements, those that have another form as they were.
    """
    if not statements or _COMMON.match(statements[0]) is None:
        return statements  # whoever writes so does it throughout
    return [_with_plain_table(statement) for statement in statements]


def _with_plain_table(statement: bytes) -> bytes:
    found = _COMMON.match(statement)
    if found is None or _MORE.search(statement, found.end()) is not None:
        return statement
    return found["verb"] + statement[found.end() :]


def with_plain_names(sql: str) -> str | None:
    """Leave out ``public.`` in front of names, and ONLY in front of tables; all else stays as it stands.

    Where ``public`` stands in another place too, as a table's name or alias, nobody can tell by the words alone
    what ``public.t`` means: then the schema stays.

    Args:
        sql: One or more statements, which SQLite does not understand as they are.

    Returns:
        The new text; None where there is nothing to leave out.
    """
    lowered = sql.lower()
    if PUBLIC not in lowered and "only" not in lowered:
        return None
    tokens = significant_tokens(sql)
    edits = sorted(_schema_edits(tokens) + _only_edits(tokens))
    return apply_edits(sql, edits) if edits else None


def without_public(sql: str, tokens: list[Token]) -> str:
    """Leave out the schema ``public`` in front of names, for a server whose tables are in another one.

    Args:
        sql: A statement.
        tokens: Its tokens, without blanks and comments.

    Returns:
        The text; as it was where ``public`` stands in another place too, as a table's name or alias.
    """
    edits = sorted(_schema_edits(tokens))
    return apply_edits(sql, edits) if edits else sql


def names_public(tokens: list[Token]) -> bool:
    """Whether ``public`` is a name in a statement."""
    return any(_is_public(token) for token in tokens)


def _schema_edits(tokens: list[Token]) -> list[tuple[int, int, str]]:
    edits = []
    for index, token in enumerate(tokens):
        if not _is_public(token):
            continue
        if _text(tokens, index + 1) != "." or _text(tokens, index - 1) == ".":
            return []
        edits.append((token.start, tokens[index + 1].end, ""))
    return edits


def _only_edits(tokens: list[Token]) -> list[tuple[int, int, str]]:
    edits = []
    for index, token in enumerate(tokens):
        if token.upper != "ONLY" or _text(tokens, index - 1).upper() not in _BEFORE_ONLY:
            continue
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if following is None or (following.kind is not TokenKind.QUOTED and following.upper in _BEHIND_A_TABLE):
            continue
        edits.append((token.start, token.end, ""))
    return edits


def _is_public(token: Token) -> bool:
    """Whether a token is the name ``public`` as PostgreSQL reads names."""
    if token.kind is TokenKind.WORD:
        return token.text.lower() == PUBLIC
    return token.name == PUBLIC


def _text(tokens: list[Token], index: int) -> str:
    return tokens[index].text if 0 <= index < len(tokens) else ""

"""DDL: the queries and expressions with which it computes rows, and what else of it is looked at first."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from spgrepl.text.sqltext import Token, TokenKind

_AFTER_INTO = frozenset("FROM WHERE GROUP HAVING ORDER LIMIT OFFSET FETCH UNION EXCEPT INTERSECT WINDOW".split())


def _named(tokens: list[Token], words: list[str], kind: str) -> tuple[int, int]:
    """The tokens of the name after VIEW or TABLE: the index of the first, and that after the last."""
    at = words.index(kind) + 1
    while words[at : at + 1] and words[at] in ("IF", "NOT", "EXISTS", "ONLY"):
        at += 1
    end = at + 1
    while end + 1 < len(tokens) and tokens[end].text == ".":
        end += 2
    return at, end


def changed_by_ddl(tokens: list[Token], text: str) -> Iterator[str]:
    """The tables that DDL drops, alters, or makes unless they are there, as they are written.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.
    """
    words = [token.upper for token in tokens]
    if "TABLE" not in words[:5] or words[0] not in ("CREATE", "ALTER", "DROP"):
        return
    first, end = _named(tokens, words, "TABLE")
    yield text[tokens[first].start : tokens[end - 1].end]
    while words[0] == "DROP" and end + 1 < len(tokens) and tokens[end].text == ",":
        first, end = end + 1, end + 2
        while end + 1 < len(tokens) and tokens[end].text == ".":
            end += 2
        yield text[tokens[first].start : tokens[end - 1].end]


def other_schema(name: str) -> str:
    """Why nothing is done with a table of another schema.

    Args:
        name: The table, with its schema.
    """
    return f"{name} is not in the schema of the copy: which table that is at the master is not known here"


def in_other_schema(tokens: list[Token], text: str) -> str | None:
    """A table outside of ``public`` that a statement makes, alters, drops or changes; None where there is none.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.
    """
    words = [token.upper for token in tokens]
    places = [at for at, word in enumerate(words) if _is_before_a_table(words, at, word)]
    moves = words[:2] == ["ALTER", "TABLE"] and ("SET", "SCHEMA") in itertools.pairwise(words)
    if moves or (words[:2] in (["ALTER", "SCHEMA"], ["DROP", "SCHEMA"]) and "PUBLIC" in words):
        return f"what {' '.join(words[:2])} leaves"
    for at in places:
        first = at + 1
        while words[first : first + 1] and words[first] in ("IF", "NOT", "EXISTS", "ONLY", "TABLE"):
            first += 1
        end = first
        while end + 2 < len(tokens) and tokens[end + 1].text == ".":
            end += 2
        if end > first and folded(tokens[end - 2]) != "public":
            return text[tokens[first].start : tokens[end].end]
    return None


def _is_before_a_table(words: list[str], at: int, word: str) -> bool:
    if words[0] in ("CREATE", "ALTER", "DROP"):
        return word == "TABLE" and at < 5
    before = words[at - 1] if at else ""
    return (
        (word == "INTO" and before in ("INSERT", "MERGE"))
        or (word == "INTO" and words[0] in ("SELECT", "WITH") and before != "INSERT")
        or (word == "UPDATE" and before not in ("FOR", "ON", "KEY", "THEN", "DO"))
        or (word == "FROM" and before == "DELETE")
        or (word == "TRUNCATE" and at == 0)
    )


def replaced_view(tokens: list[Token]) -> str | None:
    """The view whose meaning a statement changes, where there is one of that name."""
    words = [token.upper for token in tokens]
    if "VIEW" not in words[:6] or words[0] == "DROP" or (words[0] == "CREATE" and "REPLACE" not in words[:3]):
        return None
    end = _named(tokens, words, "VIEW")[1]
    return folded(tokens[end - 1]) if end <= len(tokens) else None


def expressions_of(tokens: list[Token], text: str, word: str) -> Iterator[str]:
    """The expressions by which DDL computes values of a table, each as a query of that table.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.
        word: GENERATED for those of columns, USING for those of ``ALTER COLUMN … TYPE``.
    """
    words = [token.upper for token in tokens]
    if "TABLE" not in words[:5]:
        return
    first, end = _named(tokens, words, "TABLE")
    table = text[tokens[first].start : tokens[end - 1].end]
    for at, found in enumerate(words):
        start = at + (3 if word == "GENERATED" else 1)
        given = words[at + 1 : start] == ["ALWAYS", "AS"] if word == "GENERATED" else "TYPE" in words[:at]
        # GENERATED ALWAYS AS IDENTITY computes nothing.
        if found != word or not given or start >= len(tokens) or words[start] == "IDENTITY":
            continue
        stop, depth = start, 0
        while stop < len(tokens) and depth >= 0 and not (depth == 0 and tokens[stop].text in (",", ";")):
            depth += (tokens[stop].text == "(") - (tokens[stop].text == ")")
            stop += 1
            if word == "GENERATED" and depth == 0:
                break
        yield f"SELECT ({text[tokens[start].start : tokens[stop - 1].end]}) FROM {table}"


def has_moments(tokens: list[Token]) -> bool:
    """Whether DDL makes moments of what stands in it, or in a column."""
    words = [token.upper for token in tokens if token.kind is TokenKind.WORD]
    zoned = bool({"TIMESTAMPTZ", "TIMETZ"} & set(words)) or any(
        words[at : at + 3] == ["WITH", "TIME", "ZONE"] for at in range(len(words))
    )
    return zoned and ("TYPE" in words or any(token.kind is TokenKind.STRING for token in tokens))


def query_of(tokens: list[Token], text: str) -> str | None:
    """The query with whose rows a statement makes a table; None where it makes none of a query's.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.
    """
    depth = 0
    for at, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        word = token.upper if depth == 0 and token.kind is TokenKind.WORD else ""
        if word == "AS" and tokens[0].upper == "CREATE" and at + 1 < len(tokens):
            ends = [one.upper for one in tokens[-3:]][-3 + (tokens[-2].upper == "WITH") :]
            end = tokens[-len(ends)].start if ends[0] == "WITH" and ends[-1] == "DATA" else len(text)
            return text[tokens[at + 1].start : end]
        if word == "INTO" and tokens[0].upper in ("SELECT", "WITH"):
            after = at + 1
            while after < len(tokens) and tokens[after].upper not in _AFTER_INTO:
                after += 1
            rest = text[tokens[after].start :] if after < len(tokens) else ""
            return f"{text[: token.start]} {rest}"
    return None


def in_transaction(tokens: list[Token], text: str) -> str:
    """DDL without CONCURRENTLY: what it makes is the same, and PostgreSQL takes it in a transaction.

    Args:
        tokens: The statement, without blanks and comments.
        text: The statement.
    """
    if not {"INDEX", "TABLE"} & {token.upper for token in tokens[:3]}:
        return text
    for token in tokens:
        if token.upper == "CONCURRENTLY":
            return text[: token.start] + text[token.end :]
    return text


def folded(token: Token) -> str:
    """A name as PostgreSQL has it: in small letters where it is not quoted."""
    name = token.name or token.text
    return name if token.text.startswith('"') else name.lower()

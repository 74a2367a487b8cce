"""What a statement of an SPG server's log means to a copy: rows, the schema, nothing, or what nobody can tell.

The table is that of docs/protocol.md, section 8. A copy runs nothing that has another value here than it had on
the master.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator
from functools import lru_cache

from spgrepl.dialect.schema_names import PUBLIC, names_public, without_public
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.reading.ddl import folded
from spgrepl.spgsql.language.kinds import Effect, does_more, kind_of
from spgrepl.spgsql.language.lexing import Token as PgToken
from spgrepl.spgsql.language.lexing import TokenKind as PgKind
from spgrepl.spgsql.language.lexing import head_words, lex, split
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.meanings import is_other_zone, is_zone, refuse_setting, settings_of
from spgrepl.text.sqltext import Token, TokenKind, significant_tokens, split_statements

_OBJECTS = frozenset({"VIEW", "SEQUENCE", "SCHEMA", "INDEX", "TYPE", "DOMAIN"})
"""What holds no rows, and is named by statements."""

_BEFORE_A_KIND = frozenset(
    {"OR", "REPLACE", "TEMP", "TEMPORARY", "UNLOGGED", "GLOBAL", "LOCAL", "UNIQUE", "RECURSIVE"}
)
_DDL = frozenset({"CREATE", "ALTER", "DROP"})

_MOMENTS = frozenset(
    """
    now clock_timestamp statement_timestamp transaction_timestamp timeofday random gen_random_uuid uuid_generate_v1
    uuid_generate_v4 uuidv4 uuidv7 nextval currval lastval setval txid_current pg_current_xact_id setseed
    pg_backend_pid inet_client_addr inet_server_addr random_normal
    """.split()
)
_WORDS = frozenset(
    """
    CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME LOCALTIMESTAMP LOCALTIME CURRENT_USER SESSION_USER
    """.split()
)
# What PostgreSQL and SQLite cut into tokens in different ways: escapes, dollars, arrays, nested comments.
_OTHERWISE = ("\\", "$", "[", "/*")
_KINDS = {
    PgKind.WORD: TokenKind.WORD,
    PgKind.NAME: TokenKind.QUOTED,
    PgKind.STRING: TokenKind.STRING,
    PgKind.NUMBER: TokenKind.NUMBER,
    PgKind.BYTES: TokenKind.BLOB,
}
_COUNTERS = frozenset({"SERIAL", "BIGSERIAL", "SMALLSERIAL", "IDENTITY"})
_BEFORE_A_MOMENT = frozenset({"TIMESTAMP", "DATE", "TIME", "TIMESTAMPTZ", "DEFAULT"})
_MOMENT_TEXTS = frozenset({"now", "today", "tomorrow", "yesterday"})


class Meaning(enum.Enum):
    """What a statement does."""

    ROWS = "rows"
    SCHEMA = "schema"
    OBJECT = "object"
    """Something without rows, which statements may name: made where the server takes it, and else skipped."""
    NOTHING = "nothing"


class Refused(Exception):
    """A statement must not be run on a copy; the message says why."""


@lru_cache(maxsize=2)
def tokens_of(text: str) -> list[Token]:
    """The tokens of a statement in PostgreSQL's dialect, without blanks and comments.

    They are asked for several times in a row, and must not be changed.

    Raises:
        Refused: It cannot be read.
    """
    if not any(mark in text for mark in _OTHERWISE):
        return significant_tokens(text)
    try:
        return [_token(one, text) for one in lex(text) if one.kind is not PgKind.END]
    except StatementStopped as error:
        raise Refused(str(error)) from error


def _token(found: PgToken, text: str) -> Token:
    kind = _KINDS.get(found.kind, TokenKind.OPERATOR)
    if kind is TokenKind.STRING:
        quoted = found.text.replace("'", "''")
        return Token(kind, f"'{quoted}'", found.at)
    return Token(kind, text[found.at : found.end], found.at)


def pieces_of(text: str) -> list[str]:
    """The statements of a record in PostgreSQL's dialect.

    Raises:
        Refused: It cannot be cut into them.
    """
    if ";" not in text:
        return [text]
    if not any(mark in text for mark in _OTHERWISE):
        return split_statements(text)
    try:
        return split(text)
    except StatementStopped as error:
        raise Refused(str(error)) from error


def plain_names(text: str) -> str:
    """A statement without the schema ``public`` before its names, for a copy that is in another one.

    Raises:
        Refused: What that word names cannot be told.
    """
    if PUBLIC not in text.lower():
        return text
    found = without_public(text, tokens_of(text))
    if names_public(tokens_of(found)):
        raise Refused(f"{PUBLIC} is a schema here, and a table or an alias: which one is meant cannot be told")
    return found


def meaning_of(text: str, approximate: bool = False) -> tuple[Meaning, str]:
    """Say what a statement does, by the table of `spgrepl.spgsql.language.kinds`.

    Args:
        text: One statement in PostgreSQL's dialect.
        approximate: Whether values that every replica computes for itself are no reason to refuse it.

    Returns:
        That, and what the status calls such a statement.

    Raises:
        Refused: What it does is not known, or is not what it did on the master.
    """
    try:
        words = head_words(text)
    except StatementStopped as error:
        raise Refused(str(error)) from error
    if words is None:
        return Meaning.NOTHING, "comment"
    kind = kind_of(words)
    if kind is None:
        shown = " ".join(words) or repr(text.strip()[:20])
        raise Refused(f"a statement that begins with {shown} is not known in the log of an SPG server")
    if kind.effect is Effect.UNKNOWN and kind.name not in _UNDERSTOOD:
        raise Refused(f"{kind.name}: {kind.why}")
    is_object = kind.effect is not Effect.ROWS and _is_made(words)
    if not is_object and (more := does_more(words, text)) is not None:
        raise Refused(more)
    if kind.effect is not Effect.ROWS and not is_object and kind.name not in _UNDERSTOOD:
        if sets(kind.name):
            _refuse_settings(text)
        return Meaning.NOTHING, kind.name
    tokens = tokens_of(text)
    if _is_of_one_connection(tokens):
        raise Refused("a temporary table is of one connection, which the log does not name")
    if any((token.name or "").lower() == SCHEMA for token in tokens):
        raise Refused(f"the schema {SCHEMA} belongs to spgrepl")
    if is_object:
        return Meaning.OBJECT, kind.name
    is_made = words[0] in _DDL or (words[0] == "SELECT" and _selects_into(tokens))
    if words[0] == "SELECT" and not is_made:
        raise Refused("a SELECT in the log: only what it calls can have changed rows")
    if is_made:
        _refuse_filling(tokens, approximate)
    elif not approximate:
        _refuse_moments(tokens)
    return Meaning.SCHEMA if is_made else Meaning.ROWS, kind.name


_UNDERSTOOD = frozenset({"MERGE"})
"""What SQLite does not have and this server has."""


def sets(name: str) -> bool:
    """Whether a kind of statement sets what later ones mean.

    Args:
        name: What the status calls it.
    """
    return name in _SETTING


_SETTING = frozenset({"SET", "ALTER USER", "ALTER ROLE", "ALTER DATABASE", "ALTER SYSTEM"})


def _is_made(words: list[str]) -> bool:
    kind = next((word for word in words[1:] if word not in _BEFORE_A_KIND), "")
    return words[0] in _DDL and kind in _OBJECTS


def changes_values(tokens: list[Token]) -> bool:
    """Whether a statement on something without rows changes rows all the same: labels that are stored, columns."""
    words = {token.upper for token in tokens if token.kind is TokenKind.WORD}
    if tokens[1].upper == "SCHEMA":
        return "CASCADE" in words
    if tokens[1].upper not in ("TYPE", "DOMAIN"):
        return False
    return "CASCADE" in words or {"RENAME", "VALUE"} <= words or {"ALTER", "DOMAIN", "DEFAULT"} <= words


def _is_of_one_connection(tokens: list[Token]) -> bool:
    """Whether a statement makes a temporary table."""
    words = [token.upper for token in tokens]
    made = words[1:3] if words[0] == "CREATE" and "TABLE" in words[:5] else []
    if words[0] in ("SELECT", "WITH") and "INTO" in words:
        made = words[words.index("INTO") + 1 :][:1]
    return bool({"TEMP", "TEMPORARY"} & set(made))


def _selects_into(tokens: list[Token]) -> bool:
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.kind is TokenKind.WORD and token.upper in ("INTO", "FROM"):
            return token.upper == "INTO"
    return False


def _refuse_moments(tokens: list[Token]) -> None:
    dependent = find_moment(tokens)
    if dependent is not None:
        raise Refused(f"{dependent} has another value here than it had on the master")
    if tokens[0].upper in ("INSERT", "UPDATE") and any(token.upper == "DEFAULT" for token in tokens):
        raise Refused("DEFAULT may have another value here than it had on the master")


def _settings(text: str) -> Iterator[tuple[str, list[str]]]:
    """What a SET sets, or an ALTER ROLE … SET, in small letters."""
    words = [(token.name or token.text.strip("'")).lower() for token in tokens_of(text) if token.text != ";"]
    start = words.index("set") if "set" in words else len(words)
    yield from settings_of(words[start + 1 :])


def _refuse_settings(text: str) -> None:
    try:
        for name, values in _settings(text):
            if not is_zone(name):
                refuse_setting(name, values)
    except StatementStopped as error:
        raise Refused(str(error)) from error


def zone_set(text: str) -> str | None:
    """The time zone that a SET sets; None where it sets none, or UTC."""
    found = (" ".join(values) for name, values in _settings(text) if is_zone(name) and is_other_zone(values))
    return next(found, None)


def _refuse_filling(tokens: list[Token], approximate: bool) -> None:
    """DDL that fills rows: with a query's, or with what a new column has for a default."""
    for at, token in enumerate(tokens):
        # What is kept of such a default is the time at which the table was made.
        if token.kind is TokenKind.STRING and find_moment(tokens[max(0, at - 1) : at + 2]) == token.text:
            raise Refused(f"{token.text} is the time at which that ran at the master")
    if approximate:
        return
    words = [token.upper for token in tokens]
    if "TABLE" not in words[:5] and words[0] != "SELECT":
        return
    queries = ("SELECT", "WITH", "VALUES", "TABLE")
    made = words[0] == "SELECT" or any(
        word == "AS" and (set(words[at + 1 : at + 3]) & set(queries)) for at, word in enumerate(words)
    )
    added = words[0] == "ALTER" and "ADD" in words
    if not (made or added):
        return
    counter = next((word for word in words if word in _COUNTERS), None) if added else None
    dependent = counter or find_moment(tokens)
    if dependent is not None:
        raise Refused(f"{dependent} gives rows another value here than on the master")


def find_moment(tokens: list[Token], but: Collection[str] = ()) -> str | None:
    """Look for what has another value at another moment, or on another machine.

    Args:
        tokens: The tokens of a statement, without blanks and comments.
        but: Functions that do not count.

    Returns:
        The first of it, as it stands there; None where there is none.
    """
    for index, token in enumerate(tokens):
        follows = tokens[index + 1].text if index + 1 < len(tokens) else ""
        before = tokens[index - 1].text if index else ""
        if token.kind is TokenKind.WORD and token.upper in _WORDS and before != ".":
            return token.text
        name = (token.name or "").lower()
        if follows == "(" and before.upper() not in ("INTO", "TABLE") and name in _MOMENTS and name not in but:
            return f"{token.text}()"
        words = token.text[1:-1].strip().lower().partition(" ")[0]
        is_moment = token.kind is TokenKind.STRING and words in _MOMENT_TEXTS
        # 'now'::timestamp is the time, and so may be what is a default; else 'now' is a text.
        if is_moment and (follows.startswith(":") or before.upper() in _BEFORE_A_MOMENT):
            return token.text
    return None


def inserted_into(tokens: list[Token]) -> tuple[str, frozenset[str] | None, int] | None:
    """Where an INSERT puts rows.

    Args:
        tokens: The tokens of a statement, without blanks and comments.

    Returns:
        The table's name, the columns that it names (None for all), and how many values its first row has (0 where
        there is no VALUES). None where it is not a plain INSERT.
    """
    if len(tokens) < 4 or tokens[0].upper != "INSERT" or tokens[1].upper != "INTO":
        return None
    at = 2
    while at + 2 < len(tokens) and tokens[at + 1].text == ".":
        at += 2
    table = folded(tokens[at])
    at += 1
    columns: frozenset[str] | None = None
    if at < len(tokens) and tokens[at].text == "(":
        end = _closing(tokens, at)
        columns = frozenset(folded(token) for token in tokens[at + 1 : end] if token.text != ",")
        at = end + 1
    if at + 1 < len(tokens) and tokens[at].upper == "VALUES" and tokens[at + 1].text == "(":
        return table, columns, _elements(tokens, at + 1)
    return table, columns, 0


def _closing(tokens: list[Token], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        depth += (tokens[index].text == "(") - (tokens[index].text == ")")
        if depth == 0:
            return index
    return len(tokens)


def _elements(tokens: list[Token], at: int) -> int:
    depth, found = 0, 1
    for token in tokens[at : _closing(tokens, at)]:
        depth += (token.text in ("(", "[")) - (token.text in (")", "]"))
        found += token.text == "," and depth == 1
    return found

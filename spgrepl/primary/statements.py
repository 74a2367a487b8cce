"""What a caller may hand to the primary as one statement, and what kind of statement it is."""

from __future__ import annotations

import enum
import re

import attrs

from spgrepl.engines.own_names import ForbiddenStatement, refuse_forbidden
from spgrepl.engines.sqlite_state import OWN_PREFIX
from spgrepl.errors import StatementFailed
from spgrepl.publications.statements import (
    CatalogChange,
    CatalogLook,
    ControlSyntaxError,
    parse_control,
)
from spgrepl.sqltext import Token, TokenKind, main_verb, significant_tokens, split_statements
from spgrepl.wal.transactions import StatementKind, statement_kind


class Effect(enum.Enum):
    """What a statement does."""

    ROWS = "rows"
    """It changes rows: INSERT, REPLACE, UPDATE, DELETE."""

    COPY = "copy"
    """It is CREATE TABLE … AS SELECT: changes the schema and evaluates expressions."""

    TRIGGER = "trigger"
    """It is CREATE TRIGGER: its expressions are evaluated later."""

    SCHEMA = "schema"
    """It is any other statement on the schema."""

    SAVEPOINT = "savepoint"
    """It sets, releases or goes back to a savepoint inside a transaction."""

    CATALOG = "catalog"
    """It changes the catalogue of publications and subscriptions, or shows it."""


@attrs.frozen
class Statement:
    """One statement that may be run.

    Attributes:
        text: The statement without its semicolon and without blanks and comments around it.
        effect: What it does.
        tokens: Its tokens without blanks and comments. None where nothing in it needs a closer look: it is one
            plain statement that changes rows and calls nothing that might differ on a copy.
        control: What it says, where it is a statement on the catalogue.
    """

    text: str
    effect: Effect
    tokens: list[Token] | None = None
    control: CatalogChange | CatalogLook | None = None

    @property
    def logged(self) -> bool:
        """Whether it stands in the log; one that only shows something does not."""
        return not isinstance(self.control, CatalogLook)


_PLAIN = re.compile(r"(?:INSERT|UPDATE|DELETE|REPLACE)\s", re.IGNORECASE)
_LOOK_CLOSER = re.compile(
    r";|--|/\*|\b(?:now|current_\w+|random\w*+|last_insert_rowid|changes|total_changes|date|time|datetime|julianday"
    rf"|unixepoch|strftime|timediff|limit|sqlite_\w*+|{OWN_PREFIX}\w*+)\b",
    re.IGNORECASE,
)
_EDGE = " \t\r\n\f;"

_ROW_VERBS = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
_SAVEPOINT_VERBS = frozenset({"SAVEPOINT", "RELEASE"})
_TRANSACTION_VERBS = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})
_READS = "it only reads: use query(), outside of a transaction"
_REFUSED_VERBS = {
    "SELECT": _READS,
    "VALUES": _READS,
    "EXPLAIN": _READS,
    "PRAGMA": "a copy would not get what it sets: read settings with query(), and leave them as they are",
    "ATTACH": "a copy does not have that other file: write into this database only",
    "DETACH": "a copy does not have that other file: write into this database only",
    "VACUUM": "it may number rows anew, which a copy cannot follow: leave it out",
}


def prepare(sql: str, max_length: int, in_transaction: bool) -> Statement:
    """Look at what a caller handed over as one statement.

    Args:
        sql: The text.
        max_length: The most bytes of UTF-8 that a record may have.
        in_transaction: Whether it stands inside a transaction.

    Raises:
        StatementFailed: It is not one statement that may be run here; the message says what to do instead.
    """
    check_text(sql, max_length)
    text = sql.strip(_EDGE)
    if _PLAIN.match(text) is not None and _LOOK_CLOSER.search(text) is None:
        return Statement(text, Effect.ROWS)
    pieces = split_statements(sql)
    if len(pieces) != 1:
        found = f"{len(pieces)} statements" if pieces else "no statement"
        raise StatementFailed(
            f"{found} where one was expected: hand several ones to transaction(), or run them with `spgrepl exec`",
            sql,
        )
    return _classify(pieces[0], in_transaction)


def check_text(sql: str, max_length: int) -> None:
    """Look whether a text can stand in a record of the log.

    Raises:
        StatementFailed: It is too long, or no valid Unicode.
    """
    if "\0" in sql:
        raise StatementFailed("a NUL character cannot stand in a statement; write char(0) or a blob", sql)
    try:
        size = len(sql) if sql.isascii() else len(sql.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise StatementFailed(f"the text is no valid Unicode: {error.reason} at {error.start}", sql) from None
    if size > max_length:
        raise StatementFailed(
            f"the statement has {size} bytes, a record of the log may have {max_length}; write it as several ones",
            sql,
        )


def _classify(text: str, in_transaction: bool) -> Statement:
    if statement_kind(text.encode("utf-8")) is StatementKind.CONTROL:
        return _control(text)
    tokens = significant_tokens(text)
    verb = main_verb(tokens)
    if verb in _REFUSED_VERBS:
        raise StatementFailed(f"{verb} cannot be run here: {_REFUSED_VERBS[verb]}", text)
    _refuse_own_names(text)
    if verb in _SAVEPOINT_VERBS or _is_rollback_to(tokens):
        if not in_transaction:
            raise StatementFailed(f"{verb} stands outside of a transaction: use transaction()", text)
        return Statement(text, Effect.SAVEPOINT, tokens)
    if verb in _TRANSACTION_VERBS:
        raise StatementFailed(
            f"{verb} stands inside a transaction, which begins and ends by itself: leave it out"
            if in_transaction
            else f"{verb} alone means nothing here, where many callers share a connection: use transaction()",
            text,
        )
    return Statement(text, _effect(verb, tokens), tokens)


def _control(text: str) -> Statement:
    try:
        control = parse_control(text)
    except ControlSyntaxError as error:
        raise StatementFailed(str(error), text) from error
    if not isinstance(control, CatalogChange | CatalogLook):
        raise StatementFailed(
            "effective_wal_level and WAIT FOR WAL POSITION are about the server and not the database: run this "
            "alone, outside of a transaction",
            text,
        )
    return Statement(text, Effect.CATALOG, control=control)


def _refuse_own_names(text: str) -> None:
    """Refuse by the very rule by which copies do: what is accepted here must not stop one."""
    try:
        refuse_forbidden(text)
    except ForbiddenStatement as error:
        raise StatementFailed(f"{error}; use another name", text) from error


def _is_rollback_to(tokens: list[Token]) -> bool:
    words = [token.upper for token in tokens[:3]]
    return words[0] == "ROLLBACK" and "TO" in words


def _effect(verb: str, tokens: list[Token]) -> Effect:
    if verb in _ROW_VERBS:
        return Effect.ROWS
    if verb == "CREATE":
        words = [token.upper for token in tokens]
        if words[1:2] == ["TRIGGER"] or words[2:3] == ["TRIGGER"]:
            return Effect.TRIGGER
        if "TABLE" in words[1:3] and _copies(tokens, words):
            return Effect.COPY
    return Effect.SCHEMA


def _copies(tokens: list[Token], words: list[str]) -> bool:
    """Whether a CREATE TABLE goes on with AS behind the table's name."""
    at = words.index("TABLE") + 1
    if words[at : at + 3] == ["IF", "NOT", "EXISTS"]:
        at += 3
    at += 3 if words[at + 1 : at + 2] == ["."] else 1
    return at < len(tokens) and tokens[at].kind is TokenKind.WORD and words[at] == "AS"

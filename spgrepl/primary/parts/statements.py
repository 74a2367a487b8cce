"""What a caller may hand to the primary as one statement, and what kind of statement it is."""

from __future__ import annotations

import enum
import re

import attrs

from spgrepl.catalogue.statements import (
    CatalogChange,
    CatalogLook,
    ControlSyntaxError,
    parse_control,
)
from spgrepl.errors import StatementFailed
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.sqlite.own_names import ForbiddenStatement, refuse_forbidden
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.quantities import number_of
from spgrepl.text.sqltext import (
    Token,
    TokenKind,
    fold_ascii,
    main_verb,
    significant_tokens,
    split_statements,
)


class Effect(enum.Enum):
    """What a statement does, and so what the log gets for it."""

    ROWS = "rows"
    """It changes rows: INSERT, REPLACE, UPDATE, DELETE. The log gets the rows."""

    READ = "read"
    """It only reads: SELECT, VALUES, EXPLAIN, or a PRAGMA that tells something. The log gets nothing."""

    COPY = "copy"
    """It is CREATE TABLE … AS SELECT. The log gets the table as it came out, and its rows."""

    SCHEMA = "schema"
    """It is any other statement on the schema. The log gets its text, if it changed something."""

    DROP = "drop"
    """It is DROP TABLE, which may change rows of other tables. The log gets those, and its text."""

    LOGGED = "logged"
    """It changes what is not a row: ANALYZE, REINDEX, a PRAGMA that is stored. The log gets its text."""

    SETTING = "setting"
    """It changes a setting of this primary alone: PRAGMA foreign_keys, PRAGMA recursive_triggers."""

    SAVEPOINT = "savepoint"
    """It sets, releases or goes back to a savepoint inside a transaction."""

    CATALOG = "catalog"
    """It changes the catalogue of publications and subscriptions, or shows it."""


class SavepointAction(enum.Enum):
    """What a statement does with a savepoint."""

    SET = "SAVEPOINT"
    RELEASE = "RELEASE"
    BACK = "ROLLBACK"


@attrs.frozen
class Savepoint:
    """What a statement does with a savepoint.

    Attributes:
        action: What it does.
        name: The savepoint's name, in lower case.
    """

    action: SavepointAction
    name: str


@attrs.frozen
class Statement:
    """One statement that may be run.

    Attributes:
        text: The statement without its semicolon and without blanks and comments around it.
        effect: What it does.
        returns: Whether it may return rows.
        table: The table that it makes, drops or alters; empty for all other statements.
        new_name: The name that it gives to the table; empty for all but ALTER TABLE … RENAME TO.
        savepoint: What it does with which savepoint; None where it is another statement.
        setting: The setting that it changes, for good or for one transaction, and whether it switches it on.
        control: What it says, where it is a statement on the catalogue.
    """

    text: str
    effect: Effect
    returns: bool = False
    table: str = ""
    new_name: str = ""
    savepoint: Savepoint | None = None
    setting: tuple[str, bool] | None = None
    control: CatalogChange | CatalogLook | None = None


PLAIN_STARTS = frozenset(
    form
    for word in ("INSERT ", "UPDATE ", "DELETE ", "REPLACE")
    for form in (word, word.lower(), word.capitalize())
)
"""Statements whose first seven characters are one of these change rows, whatever follows."""
_RETURNS = re.compile(r"\bRETURNING\b", re.IGNORECASE)
EDGE = " \t\r\n\f;"
"""What may stand around a statement and means nothing."""

_ROW_VERBS = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
_READ_VERBS = frozenset({"SELECT", "VALUES", "EXPLAIN"})
_SAVEPOINT_VERBS = frozenset({"SAVEPOINT", "RELEASE"})
_TRANSACTION_VERBS = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT"})
_LOGGED_PRAGMAS = frozenset({"user_version", "application_id"})
SETTINGS = ("foreign_keys", "recursive_triggers")
"""The settings of a primary that PRAGMA changes, and that are stored in its database."""
DEFERRING = "defer_foreign_keys"
"""The setting that PRAGMA changes for one transaction: foreign keys are judged at its end."""
_SWITCH = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}
_REFUSED_VERBS = {
    "ATTACH": "a copy does not have that other file: write into this database only",
    "DETACH": "a copy does not have that other file: write into this database only",
    "VACUUM": "it gives rows other numbers, which a copy would not learn of: leave it out",
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
    text = sql.strip(EDGE)
    if text[:7] in PLAIN_STARTS and ";" not in text and "--" not in text and "/*" not in text and "\0" not in text:
        lowered = text.lower()
        if OWN_PREFIX not in lowered:
            return Statement(text, Effect.ROWS, "returning" in lowered)
    _check_characters(sql)
    pieces = split_statements(sql)
    if len(pieces) != 1:
        found = number_of(len(pieces), "statement") if pieces else "no statement"
        raise StatementFailed(
            f"{found} where one was expected: hand several ones to transaction(), or run them with `spgrepl exec`",
            sql,
        )
    statement = _classify(pieces[0], in_transaction)
    if statement.effect not in _OF_ANY_LENGTH:
        _check_length(statement.text, max_length)
    return statement


def only_reads(sql: str) -> bool:
    """Whether a statement only reads; one that cannot be understood may change something."""
    first = next(iter(significant_tokens(sql[:_FIRST_WORD])), None)
    if first is None or first.upper not in _MAY_READ:
        return False
    try:
        return prepare(sql, len(sql) * 4, in_transaction=False).effect is Effect.READ
    except StatementFailed:
        return False


_FIRST_WORD = 4096
_MAY_READ = frozenset({"SELECT", "VALUES", "EXPLAIN", "WITH", "PRAGMA"})
_OF_ANY_LENGTH = frozenset({Effect.ROWS, Effect.READ, Effect.COPY})


def _check_characters(sql: str) -> None:
    if "\0" in sql:
        raise StatementFailed("a NUL character cannot stand in a statement; write char(0) or a blob", sql)
    try:
        sql.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StatementFailed(f"the text is not valid Unicode: {error.reason} at {error.start}", sql) from None


def _check_length(text: str, max_length: int) -> None:
    """What stands in the log as it is must fit into a record."""
    size = len(text.encode("utf-8"))
    if size > max_length:
        raise StatementFailed(
            f"the statement has {number_of(size, 'byte')}, a record of the log may have {max_length}; "
            f"write it as several ones",
            text,
        )


def _classify(text: str, in_transaction: bool) -> Statement:
    if statement_kind(text.encode("utf-8")) is StatementKind.CONTROL:
        return _control(text)
    tokens = significant_tokens(text)
    verb = main_verb(tokens)
    if verb in _REFUSED_VERBS:
        raise StatementFailed(f"{verb} cannot be run here: {_REFUSED_VERBS[verb]}", text)
    if verb == "PRAGMA":
        return _pragma(text, tokens, in_transaction)
    _refuse_own_names(text)
    if verb in _SAVEPOINT_VERBS or _is_rollback_to(tokens):
        if not in_transaction:
            raise StatementFailed(f"{verb} stands outside of a transaction: use transaction()", text)
        return Statement(text, Effect.SAVEPOINT, savepoint=_savepoint(tokens))
    if verb in _TRANSACTION_VERBS:
        raise StatementFailed(
            f"{verb} stands inside a transaction, which begins and ends by itself: leave it out"
            if in_transaction
            else f"{verb} alone means nothing here, where many callers share a connection: use transaction()",
            text,
        )
    if verb in _READ_VERBS:
        return Statement(text, Effect.READ, returns=True)
    if verb in _ROW_VERBS:
        return Statement(text, Effect.ROWS, _RETURNS.search(text) is not None)
    return _change_of_schema(text, verb, tokens)


def _pragma(text: str, tokens: list[Token], in_transaction: bool) -> Statement:
    """Tell apart PRAGMAs that tell something, are stored, or set what is this primary's own."""
    words = tokens[1:]
    schema = ""
    if len(words) > 2 and words[1].text == ".":
        schema, words = _name_of(words[0]).lower(), words[2:]
    name = _name_of(words[0]).lower() if words else ""
    value = next((token for token in words[1:] if token.text not in ("=", "(", "-", "+")), None)
    if value is None or name in READING_PRAGMAS:
        return Statement(text, Effect.READ, returns=True)
    if schema not in ("", "main"):
        raise StatementFailed(f"database {schema} does not exist on a copy: write into main only", text)
    if name in _LOGGED_PRAGMAS:
        return Statement(text, Effect.LOGGED)
    if name == DEFERRING and not in_transaction:
        raise StatementFailed(f"PRAGMA {name} holds until a transaction ends: use transaction()", text)
    if name in (*SETTINGS, DEFERRING):
        switch = _SWITCH.get(value.text.strip("'\"").lower())
        if switch is None:
            raise StatementFailed(f"PRAGMA {name} is ON or OFF, not {value.text}", text)
        return Statement(text, Effect.SETTING, setting=(name, switch))
    raise StatementFailed(
        f"PRAGMA {name} would change settings that all callers share; those that can be changed are "
        f"{', '.join((*SETTINGS, *sorted(_LOGGED_PRAGMAS)))}",
        text,
    )


READING_PRAGMAS = frozenset(
    {
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
    }
)
"""PRAGMAs whose argument names what to look at. All others with an argument set something."""


def _savepoint(tokens: list[Token]) -> Savepoint:
    """What a statement does with which savepoint, whose name may be quoted in any way."""
    return Savepoint(SavepointAction(tokens[0].upper), fold_ascii(_name_of(tokens[-1])))


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


def _change_of_schema(text: str, verb: str, tokens: list[Token]) -> Statement:
    words = [token.upper for token in tokens[:3]]
    if verb == "CREATE" and "TABLE" in words:
        at, table = _table_after(tokens, words.index("TABLE") + 1)
        copies = at < len(tokens) and tokens[at].upper == "AS"
        return Statement(text, Effect.COPY if copies else Effect.SCHEMA, table=table)
    if verb == "ALTER":
        at, table = _table_after(tokens, 2)
        if [token.upper for token in tokens[at : at + 2]] == ["RENAME", "TO"]:
            return Statement(text, Effect.SCHEMA, table=table, new_name=_name_of(tokens[-1]))
        return Statement(text, Effect.SCHEMA, table=table)
    if verb == "DROP" and "TABLE" in words:
        return Statement(text, Effect.DROP, table=_table_after(tokens, 2)[1])
    return Statement(text, Effect.LOGGED if verb in ("ANALYZE", "REINDEX") else Effect.SCHEMA)


def _table_after(tokens: list[Token], at: int) -> tuple[int, str]:
    """The name of a table, after IF [NOT] EXISTS and a schema's name, and the index after it."""
    words = [token.upper for token in tokens[at : at + 3]]
    if words[:1] == ["IF"]:
        at += 3 if words[1:2] == ["NOT"] else 2
    if at + 1 < len(tokens) and tokens[at + 1].text == ".":
        at += 2
    return at + 1, _name_of(tokens[at]) if at < len(tokens) else ""


def _name_of(token: Token) -> str:
    """The name that a token stands for where only a name can stand: a string is one too."""
    if token.kind is TokenKind.STRING:
        return token.text[1:-1].replace("''", "'")
    return token.name or token.text

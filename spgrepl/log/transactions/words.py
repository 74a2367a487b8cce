"""Which statements of a log begin and end transactions, or are replication's own (PROTOCOL sections 1 and 5)."""

from __future__ import annotations

import enum
import re


class StatementKind(enum.Enum):
    """What a statement of the log means to replay."""

    PLAIN = "plain"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    ROLLBACK_TO = "rollback to"
    CONTROL = "control"


# Blanks (a byte order mark is one to SQLite, a vertical tab is not) and comments; behind an unfinished one stands
# nothing. The groups are atomic: a comment ends where it first can, never later, and no text makes the search try
# what it has tried.
_BLANKS = rb"[ \t\n\f\r]++|\xef\xbb\xbf"
_GAP = rb"(?>%(blanks)s|--[^\n]*\n?|/\*.*?\*/)" % {b"blanks": _BLANKS}
# After a word, a byte order mark is a part of it.
_BETWEEN = rb"(?!\xef)(?>%(gap)s+)" % {b"gap": _GAP}
_KIND = re.compile(
    rb"(?>(?:%(gap)s|;)*)(?:"
    rb"(?P<begin>BEGIN|START%(between)sTRANSACTION)"
    rb"|(?P<commit>COMMIT|END)"
    rb"|(?P<rollback_to>ROLLBACK(?:%(between)s(?:TRANSACTION|WORK))?%(between)sTO)"
    rb"|(?P<rollback>ROLLBACK|ABORT)"
    rb"|(?P<savepoint>SAVEPOINT)"
    rb"|(?P<release>RELEASE)"
    rb"|(?P<control>(?:CREATE|DROP|ALTER|SHOW)%(between)s(?:PUBLICATIONS?|SUBSCRIPTIONS?)"
    rb"|(?:SET|SHOW)%(between)seffective_wal_level|WAIT%(between)sFOR%(between)sWAL)"
    rb")(?![\w$\x80-\xff])" % {b"gap": _GAP, b"between": _BETWEEN},
    re.IGNORECASE | re.DOTALL,
)

# A first look that settles nearly every statement: these words open all kinds but the plain one.
_OPENERS = re.compile(
    rb"(?>(?:%(blanks)s|;)*)(?:[/-]|BEG|STA|COM|END|ROL|ABO|SAV|REL|CRE|DRO|ALT|SHO|SET|WAI)"
    % {b"blanks": _BLANKS},
    re.IGNORECASE,
)

_TRANSACTION_WORD = re.compile(rb"\b(?:BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)\b", re.IGNORECASE)


# How nearly all writers write them.
_WRITTEN_SO = {
    b"BEGIN": StatementKind.BEGIN,
    b"COMMIT": StatementKind.COMMIT,
    b"ROLLBACK": StatementKind.ROLLBACK,
}


def statement_kind(sql: bytes) -> StatementKind:
    """Say what a statement means to replay, by its first words; comments in front of them are skipped.

    Args:
        sql: One statement in UTF-8. Of several only the first is judged.
    """
    known = _WRITTEN_SO.get(sql)
    if known is not None:
        return known
    if _OPENERS.match(sql) is None:
        return StatementKind.PLAIN
    found = _KIND.match(sql)
    if found is None or found.lastgroup is None:
        return StatementKind.PLAIN
    return StatementKind[found.lastgroup.upper()]


def may_hide_transaction(sql: bytes) -> bool:
    """Whether a text could hold, after its first statement, one that begins or ends a transaction.

    A quick test that errs on the side of yes (a trigger's body, a string with ``; the end`` in it).
    """
    semicolon = sql.find(b";")
    return semicolon >= 0 and _TRANSACTION_WORD.search(sql, semicolon) is not None

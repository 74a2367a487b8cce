"""What may stand in a log: no SQL and no values of rows, unless an operator wants them there."""

from __future__ import annotations

import re

from spgrepl.errors import ReplayStopped

_VALUES = re.compile(r"=\s*\(.*\)|[xX]?'(?:[^']|'')*'|\b\d[\w.]*", re.DOTALL)


class SqlInLogs:
    """Whether SQL and values may stand in the log of this process; ``--log-sql`` allows it.

    Attributes:
        allowed: Whether they may.
    """

    allowed = False


def for_log(error: object) -> str:
    """What an error says, without the SQL of a record and the values of a row where they may not be logged.

    The status has them: it is for whoever may read the database.
    """
    if SqlInLogs.allowed or not isinstance(error, ReplayStopped):
        return str(error)
    return (
        f"replay stopped at position {error.position}, CRC {error.crc:08x}: the engine refuses the record: "
        f"{without_values(error.reason)}. The status shows it. Fix the copy, or skip exactly this record with "
        f"{error.skip}"
    )


def sql_for_log(sql: str | bytes) -> str:
    """SQL for a log line, or a mark in its place where it may not be logged."""
    if not SqlInLogs.allowed:
        return "(SQL, with --log-sql)"
    text = sql.decode("utf-8", "replace") if isinstance(sql, bytes) else sql
    return repr(text[:300])


def without_values(text: str) -> str:
    """A text whose literals, and lists of values after an equals sign, are left out."""
    return text if SqlInLogs.allowed else _VALUES.sub("…", text)

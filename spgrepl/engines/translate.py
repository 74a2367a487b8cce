"""SQL that another database speaks, put into SQLite's words.

This is the way of last resort: replay tries a statement as it is first, and refuses it when the translation fails
as well. The translation itself is sqlglot's.
"""

from __future__ import annotations

import logging

import sqlglot

from spgrepl.primary.determinism import find_dependent
from spgrepl.sqltext import significant_tokens

# sqlglot tells of what it cannot carry over through the standard library's log; here that is an error instead.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

POSTGRESQL = "postgres"
MYSQL = "mysql"


class TranslationFailed(Exception):
    """The statement could not be put into SQLite's words; the message says why."""


class ValueOfThisMachine(TranslationFailed):
    """The statement asks for what differs from machine to machine, such as the time."""


def to_sqlite(sql: str, dialect: str) -> list[str]:
    """Translate SQL into SQLite's dialect.

    Args:
        sql: One or more statements.
        dialect: `POSTGRESQL` or `MYSQL`.

    Returns:
        The statements, one a string.

    Raises:
        TranslationFailed: It is not that dialect, or has no counterpart in SQLite.
        ValueOfThisMachine: Its translation would have another effect here than it had on the master.
    """
    try:
        found = sqlglot.transpile(sql, read=dialect, write="sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except Exception as error:
        said = str(error).splitlines()
        raise TranslationFailed(said[0] if said else type(error).__name__) from error
    for statement in found:
        dependent = find_dependent(significant_tokens(statement))
        if dependent is not None:
            raise ValueOfThisMachine(f"{dependent} would have another value here than it had on the master")
    return found

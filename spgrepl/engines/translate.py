"""SQL that another database speaks, put into SQLite's words.

This is the way of last resort: replay tries a statement as it is first, and refuses it when the translation fails
as well. The translation itself is sqlglot's.
"""

from __future__ import annotations

import logging

import sqlglot
from sqlglot.errors import SqlglotError

# sqlglot tells of what it cannot carry over through the standard library's log; here that is an error instead.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

POSTGRESQL = "postgres"
MYSQL = "mysql"


class TranslationFailed(Exception):
    """The statement could not be put into SQLite's words; the message says why."""


def to_sqlite(sql: str, dialect: str) -> list[str]:
    """Translate SQL into SQLite's dialect.

    Args:
        sql: One or more statements.
        dialect: `POSTGRESQL` or `MYSQL`.

    Returns:
        The statements, one a string.

    Raises:
        TranslationFailed: It is not that dialect, or has no counterpart in SQLite.
    """
    try:
        return sqlglot.transpile(sql, read=dialect, write="sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
    except (SqlglotError, RecursionError) as error:
        raise TranslationFailed(str(error).splitlines()[0] if str(error) else type(error).__name__) from error

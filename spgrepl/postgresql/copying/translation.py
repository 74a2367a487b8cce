"""SQL of other dialects in PostgreSQL's words. The translation itself is sqlglot's."""

from __future__ import annotations

import logging

import sqlglot
from sqlglot import exp

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

SQLITE = "sqlite"
MYSQL = "mysql"


class NotTranslated(Exception):
    """A statement could not be put into PostgreSQL's words; the message says why."""


def to_postgresql(sql: str, dialect: str = SQLITE) -> list[str]:
    """Translate SQL into PostgreSQL's dialect.

    Args:
        sql: One or more statements.
        dialect: `SQLITE` or `MYSQL`.

    Returns:
        The statements, one a string, with all names quoted as they are.

    Raises:
        NotTranslated: It is not that dialect, or has no counterpart.
    """
    try:
        parsed = [one for one in sqlglot.parse(sql, read=dialect) if one is not None]
        if any(isinstance(one, exp.Command) for one in parsed):
            raise NotTranslated("the statement is not understood")
        return [
            one.sql(dialect="postgres", unsupported_level=sqlglot.ErrorLevel.RAISE, identify=dialect == SQLITE)
            for one in parsed
        ]
    except NotTranslated:
        raise
    except Exception as error:
        said = str(error).splitlines()
        raise NotTranslated(said[0] if said else type(error).__name__) from error

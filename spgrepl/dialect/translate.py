"""SQL that another database speaks, put into SQLite's words.

This is the way of last resort: replay tries a statement as it is first, and refuses it when the translation fails
as well. The translation itself is sqlglot's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import sqlglot
from sqlglot import exp

from spgrepl.dialect.dependent import find_dependent
from spgrepl.dialect.schema_names import PUBLIC
from spgrepl.text.sqltext import significant_tokens

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
        found = [
            _in_sqlites_words(statement).sql(dialect="sqlite", unsupported_level=sqlglot.ErrorLevel.RAISE)
            for statement in sqlglot.parse(sql, read=dialect)
            if statement is not None
        ]
    except Exception as error:
        said = str(error).splitlines()
        raise TranslationFailed(said[0] if said else type(error).__name__) from error
    refuse_dependent(found)
    return found


def refuse_dependent(statements: Iterable[str]) -> None:
    """Look for what differs from machine to machine in statements that are not run as they stand in the log.

    Raises:
        ValueOfThisMachine: There is something.
    """
    for statement in statements:
        dependent = find_dependent(significant_tokens(statement))
        if dependent is not None:
            raise ValueOfThisMachine(f"{dependent} would have another value here than it had on the master")


def _in_sqlites_words(statement: exp.Expr) -> exp.Expr:
    """Change what sqlglot would carry over as it is, and SQLite does not know."""
    for part in statement.find_all(exp.Table, exp.Column, exp.Ordered):
        if isinstance(part, exp.Ordered):
            if not isinstance(part.parent, exp.Order):
                # The columns of an index, a key or ON CONFLICT: where SQLite puts NULL there changes no rows.
                part.set("nulls_first", not part.args.get("desc"))
            continue
        if part.args.get("catalog") is None and _is_public(part.args.get("db")):
            part.set("db", None)
        if part.args.get("only"):
            part.set("only", None)
    return statement


def _is_public(schema: object) -> bool:
    if not isinstance(schema, exp.Identifier):
        return False
    name = schema.name if schema.quoted else schema.name.lower()
    return name == PUBLIC

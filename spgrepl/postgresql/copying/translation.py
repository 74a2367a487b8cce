"""SQL of other dialects in PostgreSQL's words. The translation itself is sqlglot's."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import sqlglot
from sqlglot import exp

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

SQLITE = "sqlite"
MYSQL = "mysql"

_ROWS = (exp.Insert, exp.Update, exp.Delete)
_KNOWN = (
    *(*_ROWS, exp.Where, exp.Values, exp.Tuple, exp.Schema, exp.Table, exp.Column, exp.Identifier),
    *(exp.Select, exp.From, exp.Star, exp.Subquery, exp.Paren),
    *(exp.Literal, exp.Null, exp.Boolean, exp.Neg, exp.Add, exp.Sub, exp.Mul),
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.Is, exp.In, exp.Between, exp.Like),
    *(exp.And, exp.Or, exp.Not, exp.Coalesce, exp.Case, exp.If),
    # Whoever runs them decides about values that differ from machine to machine.
    *(exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.Rand, exp.Uuid),
)
"""What may stand in MySQL's statements for rows. Of other parts it is not known that they mean the same: whole
numbers are divided in another way, a hexadecimal literal is bits in PostgreSQL, functions of one name differ."""

_SHOWN = 60


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
        if dialect == MYSQL:
            _refuse_other_meanings(sql, parsed)
        return [
            one.sql(dialect="postgres", unsupported_level=sqlglot.ErrorLevel.RAISE, identify=dialect == SQLITE)
            for one in parsed
        ]
    except NotTranslated:
        raise
    except Exception as error:
        said = str(error).splitlines()
        raise NotTranslated(said[0] if said else type(error).__name__) from error


def _refuse_other_meanings(sql: str, statements: Iterable[exp.Expr]) -> None:
    """Look for what may mean something else in PostgreSQL, where the server may take it in silence.

    Raises:
        NotTranslated: There is something.
    """
    for statement in statements:
        if not isinstance(statement, _ROWS):
            continue
        if any(token.token_type is sqlglot.TokenType.DPIPE for token in sqlglot.tokenize(sql, read=MYSQL)):
            raise NotTranslated("|| may join texts, or be OR")
        other = next((part for part in statement.walk() if not _is_known(part)), None)
        if other is not None:
            raise NotTranslated(f"MySQL's {other.sql(MYSQL)[:_SHOWN]} may mean something else in PostgreSQL")
        if isinstance(statement, exp.Update):
            _refuse_one_after_another(statement)


def _refuse_one_after_another(update: exp.Update) -> None:
    """MySQL sets one column after another: what is read of one that has been set is its new value."""
    done: set[str] = set()
    for one in update.expressions:
        read = {column.name.lower() for column in one.expression.find_all(exp.Column)}
        if read & done:
            raise NotTranslated(
                f"MySQL sets columns one after another, and {min(read & done)} has been set when it is read"
            )
        done.add(one.this.name.lower())


def _is_known(part: exp.Expr) -> bool:
    return isinstance(part, _KNOWN) or (isinstance(part, exp.Anonymous) and part.name.upper() == "NOW")

"""Statements that were read, kept by their shape: most of a log's differ in nothing but their constants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spgrepl.postgresql import driver
from spgrepl.postgresql.reading.closure import SAVEPOINT, gather, parsed, unchanged
from spgrepl.postgresql.reading.conversions import ORDERS, may_be_other_day
from spgrepl.postgresql.reading.disputed import moments_in, unsure_time
from spgrepl.postgresql.reading.given_values import unsure_choice
from spgrepl.postgresql.reading.letters import letters_of, meets_beyond
from spgrepl.postgresql.reading.rules import Reading, read
from spgrepl.postgresql.tables import Choice, TableBook
from spgrepl.text.sqltext import Token, TokenKind

_MOST = 2_000
"""So many shapes are kept."""

_CONSTANTS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.BLOB})
_BY = frozenset({"BY", "by", "By", "bY"})
_NULL = frozenset({"NULL", "null"})
_BEFORE_A_VALUE = frozenset("(,=")
_LONGEST_ROW = 600
_ZONES = ("UTC", "Pacific/Kiritimati")
"""No time of day is the same in both, and no day."""


def shape_of(tokens: list[Token]) -> str:
    """What a statement has in common with those that differ in nothing but their constants.

    Args:
        tokens: The statement, without blanks and comments.
    """
    # A number after BY names a column.
    by = any(token.text in _BY for token in tokens)
    words: list[str] = []
    for token in tokens:
        word = token.text
        if token.kind in _CONSTANTS and not (by and token.kind is TokenKind.NUMBER):
            word = f"?{token.kind.value}"
        elif word in _NULL and words and words[-1] in _BEFORE_A_VALUE:
            word = f"?{TokenKind.STRING.value}"
        _add(words, word)
    return " ".join(words)


def _add(words: list[str], word: str) -> None:
    """Add a word; of constants in a row, and of rows of constants that are alike, one is left."""
    if word[0] == "?" and words[-2:] == [word, ","]:
        words.pop()
        return
    words.append(word)
    if word == ")" and "(" in words[-_LONGEST_ROW:]:
        start = len(words) - 1 - words[::-1].index("(")
        row = words[start:]
        if words[start - 1 : start] == [","] and words[start - 1 - len(row) : start - 1] == row:
            del words[start - 1 :]


class StatementReader:
    """Reads statements, each shape once.

    Args:
        tables: The tables of the server; what was read is forgotten with them.
        byte_order: Whether the database orders texts by their bytes.
        usual_letters: Whether the capital letters of ASCII are what they are in all other databases.
    """

    def __init__(self, tables: TableBook, byte_order: bool = True, usual_letters: bool = True) -> None:
        self._usual_letters = usual_letters
        self._tables = tables
        self._byte_order = byte_order

    def read(self, connection: Any, tokens: list[Token], text: str) -> Reading:
        """Say what a statement depends on.

        Args:
            connection: The connection, with a transaction open.
            tokens: The statement, without blanks and comments.
            text: The statement.

        Raises:
            psycopg.Error: The server does not understand it; the transaction has failed.
        """
        shape, known_shapes = shape_of(tokens), self._tables.read_statements
        known = known_shapes.get(shape)
        if isinstance(known, Reading) and (not known.marks or self._holds(connection, known)):
            return known
        found = read(gather(connection, text), self._byte_order)
        if len(known_shapes) >= _MOST:
            known_shapes.clear()
        known_shapes[shape] = found
        return found

    def unsure(
        self, connection: Any, reading: Reading, tokens: list[Token], text: str, lasts: bool = False
    ) -> str | None:
        """Why a statement with these constants and rows may mean something else at the master; None where not.

        Args:
            connection: The connection, with a transaction open.
            reading: What was read of it.
            tokens: The statement, without blanks and comments.
            text: The statement.
            lasts: Whether it is an expression that rows to come are given to.

        Raises:
            psycopg.Error: The server does not let its columns be read; the transaction has failed.
        """
        if reading.days and may_be_other_day(tokens) and depends_on_order(connection, text):
            return "which day a text such as 01/02/03 is depends on the DateStyle of its session: write 2003-01-02"
        moment = _moment(connection, tokens, text)
        other_time = moment or unsure_time(tokens, reading.moments, reading.spans)
        letters = reading.letters
        if letters is None or other_time is not None:
            return other_time
        if not text.isascii() or "\\" in text:
            # Of statements of one shape this one has letters of its own.
            letters = letters_of(gather(connection, text)) or letters
        if letters.other_rule or not self._usual_letters:
            return f"{letters.name}() here takes other letters for capitals: make the database with LOCALE 'C'"
        met: str | None = "rows to come"
        if not lasts:
            met = "a constant" if letters.beyond else meets_beyond(connection, letters, reading.read)
        if met is None:
            return None
        return (
            f"{letters.name}() may meet letters beyond ASCII in {met}: what the master makes of them is not known"
        )

    @staticmethod
    def unsure_choice(connection: Any, choices: Mapping[tuple[int, int], Choice], text: str) -> str | None:
        """Why a statement with these constants may mean something else by columns of labels and years.

        Args:
            connection: The connection, with a transaction open.
            choices: The columns that it names or gives values, each by the numbers of its table and of itself.
            text: The statement.

        Raises:
            psycopg.Error: The server does not understand it; the transaction has failed.
        """
        return unsure_choice(gather(connection, text), choices)

    def _holds(self, connection: Any, known: Reading) -> bool:
        return self._tables.has_versions() and unchanged(connection, known.marks)


def _moment(connection: Any, tokens: list[Token], text: str) -> str | None:
    """Why a constant is the time at which a statement runs; None where none is: most such texts are just texts.

    Raises:
        psycopg.Error: The server does not understand the statement at all; the transaction has failed.
    """
    psycopg = driver.load()
    for token in moments_in(tokens):
        try:
            parsed(connection, f"{text[: token.start]}'no time, no text'{text[token.end :]}")
        except psycopg.errors.DataError:
            connection.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}")
            return f"{token.text} has another value here than it had on the master"
    return None


def depends_on_zone(connection: Any, text: str) -> bool:
    """Whether constants of a statement are other moments in another time zone.

    Raises:
        psycopg.Error: The server does not understand it; the transaction has failed.
    """
    return _depends(connection, text, "timezone", _ZONES)


def depends_on_order(connection: Any, text: str) -> bool:
    """Whether constants of a statement are other days, or none, where the numbers of a day have another order.

    Raises:
        psycopg.Error: The server does not understand it at all; the transaction has failed.
    """
    psycopg = driver.load()
    try:
        return _depends(connection, text, "datestyle", ORDERS)
    except psycopg.errors.DataError:
        connection.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}; RELEASE SAVEPOINT {SAVEPOINT}")
        connection.execute(f"SET LOCAL datestyle = '{ORDERS[0]}'")
        return True


def _depends(connection: Any, text: str, setting: str, values: Sequence[str]) -> bool:
    found = set()
    for value in values:
        connection.execute(f"SET LOCAL {setting} = '{value}'")
        found.add(parsed(connection, text))
    connection.execute(f"SET LOCAL {setting} = '{values[0]}'")
    return len(found) > 1

"""Statements that were read, kept by their shape: most of a log's differ in nothing but their constants."""

from __future__ import annotations

from typing import Any

from spgrepl.postgresql.reading.closure import gather, parsed, unchanged
from spgrepl.postgresql.reading.rules import Reading, read
from spgrepl.postgresql.tables import TableBook
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
    """

    def __init__(self, tables: TableBook, byte_order: bool = True) -> None:
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

    def _holds(self, connection: Any, known: Reading) -> bool:
        return self._tables.has_versions() and unchanged(connection, known.marks)


def depends_on_zone(connection: Any, text: str) -> bool:
    """Whether constants of a statement are other moments in another time zone.

    Raises:
        psycopg.Error: The server does not understand it; the transaction has failed.
    """
    found = set()
    for zone in _ZONES:
        connection.execute(f"SET LOCAL timezone = '{zone}'")
        found.add(parsed(connection, text))
    connection.execute(f"SET LOCAL timezone = '{_ZONES[0]}'")
    return len(found) > 1

"""The parts of an INSERT statement."""

from __future__ import annotations

import enum

import attrs

from spgrepl.sqltext import Token, TokenKind


class RowSource(enum.Enum):
    """Where the rows of an INSERT come from."""

    VALUES = "values"
    DEFAULT = "default values"
    QUERY = "query"


@attrs.frozen
class Insert:
    """Where the parts of an INSERT stand.

    Attributes:
        table: The table's name.
        columns: The names in its column list; None without a list.
        list_end: Offset in the text of the parenthesis that closes the column list; without a list the offset
            just behind the table's name or alias.
        source: Where the rows come from.
        source_start: Offset where the row source begins: VALUES, DEFAULT or the query.
        source_end: Offset just behind the row source. For a query, the end of the statement.
        tuples: For each tuple of VALUES the offset of the parenthesis that closes it.
    """

    table: str
    columns: tuple[str, ...] | None
    list_end: int
    source: RowSource
    source_start: int
    source_end: int
    tuples: tuple[int, ...] = ()


class _Cursor:
    """A place in a list of tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self.at = 0

    @property
    def here(self) -> Token:
        return self._tokens[self.at] if self.at < len(self._tokens) else _NOTHING

    @property
    def before(self) -> Token:
        return self._tokens[self.at - 1]

    def take(self, word: str) -> bool:
        """Pass over a word or operator if it stands here."""
        if self.here.upper == word:
            self.at += 1
            return True
        return False

    def take_name(self) -> str | None:
        """Pass over a name, however it is quoted."""
        token = self.here
        self.at += 1
        if token.kind is TokenKind.STRING:
            return token.text[1:-1].replace("''", "'")
        return token.name

    def skip_parentheses(self) -> bool:
        """Pass over an opening parenthesis, what it holds, and the one that closes it."""
        depth = 0
        while self.at < len(self._tokens):
            if self.take("("):
                depth += 1
            elif self.take(")"):
                depth -= 1
            else:
                self.at += 1
            if depth == 0:
                return True
        return False


_NOTHING = Token(TokenKind.BLANK, "", 0)


def parse_insert(tokens: list[Token]) -> Insert | None:
    """Find the parts of an INSERT or REPLACE statement.

    Args:
        tokens: The statement's tokens without blanks and comments.

    Returns:
        The parts, or None where the statement is another one, or is not well formed: SQLite will say so.
    """
    cursor = _Cursor(tokens)
    if cursor.here.upper == "WITH" and not _skip_common_tables(cursor):
        return None
    if cursor.take("INSERT"):
        if cursor.take("OR"):
            cursor.at += 1
    elif not cursor.take("REPLACE"):
        return None
    if not cursor.take("INTO"):
        return None
    table = cursor.take_name()
    if cursor.take("."):
        table = cursor.take_name()
    if cursor.take("AS"):
        cursor.at += 1
    if table is None or cursor.here is _NOTHING:
        return None
    list_end = cursor.before.end
    columns = None
    if cursor.here.text == "(":
        columns = _take_columns(cursor)
        if columns is None:
            return None
        list_end = cursor.before.start
    return _with_source(cursor, tokens, table, columns, list_end)


def _skip_common_tables(cursor: _Cursor) -> bool:
    """Go to the verb behind WITH; common table expressions stand in parentheses."""
    while cursor.here is not _NOTHING and cursor.here.upper not in ("INSERT", "REPLACE"):
        if cursor.here.text == "(":
            if not cursor.skip_parentheses():
                return False
        else:
            cursor.at += 1
    return True


def _take_columns(cursor: _Cursor) -> tuple[str, ...] | None:
    cursor.take("(")
    names = []
    while True:
        name = cursor.take_name()
        if name is None:
            return None
        names.append(name)
        if cursor.take(")"):
            return tuple(names)
        if not cursor.take(","):
            return None


def _with_source(
    cursor: _Cursor, tokens: list[Token], table: str, columns: tuple[str, ...] | None, list_end: int
) -> Insert | None:
    start = cursor.here.start
    if cursor.take("DEFAULT"):
        if not cursor.take("VALUES"):
            return None
        return Insert(table, columns, list_end, RowSource.DEFAULT, start, cursor.before.end)
    query = Insert(table, columns, list_end, RowSource.QUERY, start, tokens[-1].end)
    if not cursor.take("VALUES"):
        return query
    closing = []
    while cursor.here.text == "(":
        if not cursor.skip_parentheses():
            return None
        closing.append(cursor.before.start)
        if not cursor.take(","):
            break
    if not closing:
        return None
    if cursor.here.upper in ("", "ON", "RETURNING"):
        return Insert(table, columns, list_end, RowSource.VALUES, start, cursor.before.end, tuple(closing))
    return query

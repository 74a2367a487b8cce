"""What SPG's SQL has and PostgreSQL's has not, in words that PostgreSQL takes: vectors, BYTES, TRUE in a text.

It is for statements that the server does not take as they stand. What is not known here stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence

from spgrepl.postgresql.names import literal
from spgrepl.postgresql.tables import Table, TableColumn
from spgrepl.spgsql.language.lexing import Token, TokenKind, lex
from spgrepl.spgsql.language.stops import StatementStopped

_TYPES = {"vector": "real[]", "bytes": "bytea", "hstore": "jsonb", "year": "smallint"}
_VECTOR = re.compile(r"\s*\[[-+0-9.eE,\s]*\]\s*\Z")
_TEXTS = frozenset({"text", "varchar", "bpchar"})
_BEFORE_A_COLUMN = frozenset({"column", "add", "exists"})
_ENDS_OF_SET = frozenset({"where", "from", "returning"})

Edit = tuple[int, int, str]


def respelled(text: str, tables: Callable[[str], Table | None]) -> str:
    """Write a statement in PostgreSQL's words.

    Args:
        text: One statement.
        tables: Looks a table up.

    Raises:
        StatementStopped: It cannot be read, or what it says has no counterpart.
    """
    tokens = [token for token in lex(text) if token.kind is not TokenKind.END]
    edits = [*_types(tokens), *_values(tokens, tables)]
    parts, at = [], 0
    for start, end, new in sorted(edits):
        if start >= at:
            parts += [text[at:start], new]
            at = end
    return "".join(parts) + text[at:]


def _word(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].text if 0 <= at < len(tokens) and tokens[at].kind is TokenKind.WORD else ""


def _is(tokens: Sequence[Token], at: int, operator: str) -> bool:
    return 0 <= at < len(tokens) and tokens[at].kind is TokenKind.OPERATOR and tokens[at].text == operator


# -- types ----------------------------------------------------------------------------------------------------


def _types(tokens: Sequence[Token]) -> Iterator[Edit]:
    for at, token in enumerate(tokens):
        if _word(tokens, at) not in _TYPES or not _stands_for_type(tokens, at):
            continue
        end = at
        if _is(tokens, at + 1, "(") and _is(tokens, at + 3, ")"):
            end = at + 3
        if token.text == "vector" and _word(tokens, end + 1) == "using":
            raise StatementStopped(
                f"a VECTOR that is stored USING {_word(tokens, end + 2).upper()} rounds its numbers at the master "
                f"in a way that this server does not know"
            )
        yield token.at, tokens[end].end, _TYPES[token.text]


def _stands_for_type(tokens: Sequence[Token], at: int) -> bool:
    if _is(tokens, at - 1, "::") or _word(tokens, at - 1) in ("as", "type"):
        return True
    is_name = at > 0 and tokens[at - 1].kind in (TokenKind.WORD, TokenKind.NAME)
    before = _is(tokens, at - 2, "(") or _is(tokens, at - 2, ",") or _word(tokens, at - 2) in _BEFORE_A_COLUMN
    return _word(tokens, 0) in ("create", "alter") and is_name and before


# -- values ---------------------------------------------------------------------------------------------------


def _values(tokens: Sequence[Token], tables: Callable[[str], Table | None]) -> Iterator[Edit]:
    """The values of INSERT … VALUES and of SET, by the types of their columns."""
    first = 1 if _word(tokens, 0) == "update" else 2 if _word(tokens, 0) == "insert" else 0
    at = first + (_word(tokens, first) == "only")
    while _is(tokens, at + 1, "."):
        at += 2
    table = tables(tokens[at].text) if first and at < len(tokens) else None
    if table is None:
        return
    if first == 2:
        yield from _rows(tokens, at + 1, table)
    for place in range(at, len(tokens)):
        if _word(tokens, place) == "set":
            yield from _assignments(tokens, place + 1, table)


def _closing(tokens: Sequence[Token], at: int) -> int:
    depth = 0
    for index in range(at, len(tokens)):
        depth += _is(tokens, index, "(") or _is(tokens, index, "[")
        depth -= _is(tokens, index, ")") or _is(tokens, index, "]")
        if depth == 0:
            return index
    raise StatementStopped("a parenthesis does not end")


def _elements(tokens: Sequence[Token], start: int, stop: int) -> Iterator[Sequence[Token]]:
    """What commas part, outside of parentheses."""
    depth, first = 0, start
    for index in range(start, stop):
        depth += _is(tokens, index, "(") or _is(tokens, index, "[")
        depth -= _is(tokens, index, ")") or _is(tokens, index, "]")
        if depth == 0 and _is(tokens, index, ","):
            yield tokens[first:index]
            first = index + 1
    yield tokens[first:stop]


def _rows(tokens: Sequence[Token], at: int, table: Table) -> Iterator[Edit]:
    at += 2 * (_word(tokens, at) == "as")
    columns = list(table.columns)
    if _is(tokens, at, "("):
        end = _closing(tokens, at)
        columns = [one[0].text for one in _elements(tokens, at + 1, end) if one]
        at = end + 1
    at += 3 * (_word(tokens, at) == "overriding")
    if _word(tokens, at) != "values":
        return
    at += 1
    while _is(tokens, at, "("):
        end = _closing(tokens, at)
        for name, element in zip(columns, _elements(tokens, at + 1, end), strict=False):
            yield from _value(table.columns.get(name), element)
        at = end + 1 + _is(tokens, end + 1, ",")


def _assignments(tokens: Sequence[Token], at: int, table: Table) -> Iterator[Edit]:
    depth, stop = 0, at
    while stop < len(tokens) and not (depth == 0 and _word(tokens, stop) in _ENDS_OF_SET):
        depth += _is(tokens, stop, "(")
        depth -= _is(tokens, stop, ")")
        stop += 1
    for one in _elements(tokens, at, stop):
        if len(one) > 2 and _is(one, 1, "="):
            yield from _value(table.columns.get(one[0].text), one[2:])


def _value(column: TableColumn | None, element: Sequence[Token]) -> Iterator[Edit]:
    if column is None or not element:
        return
    first = element[0]
    if column.type.base in _TEXTS and len(element) == 1 and _word(element, 0) in ("true", "false"):
        yield first.at, first.end, f"'{first.text}'"
    elif column.type.base == "_float4" and first.kind is TokenKind.STRING and _VECTOR.match(first.text):
        try:
            numbers = json.loads(first.text, parse_float=str, parse_int=str)
        except ValueError as error:
            raise StatementStopped(f"{first.text!r} is not a vector") from error
        yield first.at, first.end, literal("{" + ",".join(map(str, numbers)) + "}")

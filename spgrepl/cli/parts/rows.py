"""Rows as a table on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from spgrepl.base.results import QueryResult
from spgrepl.text.sqltext import SqlValue

_WIDEST = 60


def print_table(result: QueryResult) -> None:
    """Print rows as a table: aligned, one line a row, long values cut with an ellipsis."""
    if not result.columns:
        return
    lines = [[_shown(value) for value in row] for row in result.rows]
    names = [_cut(printable(name)) for name in result.columns]
    numbers = [
        bool(result.rows) and all(isinstance(row[at], int | float | None) for row in result.rows)
        for at in range(len(names))
    ]
    widths = [max([_width(name), *(_width(line[at]) for line in lines)]) for at, name in enumerate(names)]
    _print_line(names, widths, numbers)
    print("  ".join("-" * width for width in widths))
    for line in lines:
        _print_line(line, widths, numbers)
    print(f"({len(lines)} row{'' if len(lines) == 1 else 's'})")


def _print_line(cells: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> None:
    print("  ".join(_padded(*cell) for cell in zip(cells, widths, numbers, strict=True)).rstrip())


def _shown(value: SqlValue) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = f"x'{value[:_WIDEST].hex()}'"
    else:
        text = printable(value) if isinstance(value, str) else repr(value)
    return _cut(text)


def printable(text: str) -> str:
    """Text without what would break a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else _ESCAPES.get(letter, f"\\u{{{ord(letter):x}}}") for letter in text
    )


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _cut(text: str) -> str:
    if _width(text) <= _WIDEST:
        return text
    kept, width = [], 0
    for letter in text:
        width += _width(letter)
        if width > _WIDEST - 1:
            break
        kept.append(letter)
    return "".join(kept) + "…"


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if right else text + blanks

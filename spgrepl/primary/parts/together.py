"""Statements that are handed to SQLite together, which costs less than one by one.

Only statements that are sure to be whole, to change rows and to return nothing are put together. DELETE is not
among them: what it did has to be told from what the next one did, as the log can say that a table was emptied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.parts.statements import EDGE
from spgrepl.sqlite.state import OWN_PREFIX

_MOST_STATEMENTS = 256
_MOST_CHARACTERS = 64 * 1024

# As many whole statements as follow each other. NUL, which stands in none, keeps them apart: what one of them does
# not close cannot be closed by another.
_WHOLE = re.compile(
    r"(?:(?i:INSERT|UPDATE|REPLACE)[ \t\n\f\r]"
    r"[^;'\"`\[/\-\0]*+(?:(?:'[^'\0]*+'|\"[^\"\0]*+\"|-(?!-)|/(?!\*))[^;'\"`\[/\-\0]*+)*+;\0)*+"
)


class FailedTogether(StatementFailed):
    """One of several statements failed, and it is not known which."""


def next_run(statements: Sequence[str]) -> tuple[int, bool]:
    """How many statements, from the first one on, are alike in that they may be put together, or may not.

    Args:
        statements: Statements, at least one.
    """
    window = statements[:_MOST_STATEMENTS]
    text = ";\0".join(window) + ";\0"
    # Where a statement holds NUL itself, nothing is sure.
    found = _WHOLE.match(text, 0, _MOST_CHARACTERS if text.count("\0") == len(window) else 0)
    assert found is not None  # nothing at all matches too
    count = text.count("\0", 0, found.end())
    if count < 2:
        return 1, False
    lowered = text[: found.end()].lower()
    return count, "returning" not in lowered and OWN_PREFIX not in lowered


def steps_of(request: Request, together: bool) -> Iterator[tuple[int, Sequence[str]]]:
    """The statements of a request, alone or together with others.

    Args:
        request: The request.
        together: Whether statements may be put together.

    Returns:
        The number of the first statement, from 1, and the statements.
    """
    statements = request.statements
    if not together or not request.transaction or request.mark or request.parameters or request.rows is not None:
        yield from ((number, (sql,)) for number, sql in enumerate(statements, 1))
        return
    start = 0
    while start < len(statements):
        count, joined = next_run(statements[start : start + _MOST_STATEMENTS])
        run = statements[start : start + count]
        if joined:
            yield start + 1, run
        else:
            yield from ((number, (sql,)) for number, sql in enumerate(run, start + 1))
        start += count


def plain_run(requests: Sequence[Request], start: int) -> tuple[int, list[str]]:
    """How many requests are alike in that they may be put together, or may not.

    Args:
        requests: Requests.
        start: The index of the first one.

    Returns:
        The number of requests, and their texts where they may be put together: each is one whole statement.
    """
    texts = []
    for request in requests[start : start + _MOST_STATEMENTS]:
        if request.transaction or request.mark is not None or request.rows is not None:
            break
        if request.parameters and request.parameters[0] is not None:
            break
        texts.append(request.statements[0].strip(EDGE))
    if len(texts) < 2:
        return 1, []
    count, joined = next_run(texts)
    return count, texts[:count] if joined else []

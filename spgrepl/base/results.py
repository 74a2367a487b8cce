"""What statements give back: rows, and the position in the log after what was written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self

import attrs

from spgrepl.errors import UsageError
from spgrepl.text.shown import shown_quoted
from spgrepl.text.sqltext import SqlValue

HISTORY_PATTERN = "[0-9a-f]{32}"
"""How the id of a history looks."""

_POSITION = re.compile(rf"([0-9]{{1,20}})(?:@({HISTORY_PATTERN}))?")


@attrs.frozen
class QueryResult:
    """Rows that a statement returned.

    Attributes:
        columns: The columns' names.
        rows: The rows, each a tuple of as many values: None, int, float, str or bytes.
    """

    columns: tuple[str, ...]
    rows: list[tuple[SqlValue, ...]]


class Position(int):
    """A position in the log, in bytes, whose log that is, and what the statements before it returned.

    It is an int in every respect; what is calculated with it is a plain one. As text it is a token,
    ``622@2f0c…``, which every copy of the database takes, however its own log counts: wait there with
    ``when_applied(position)``, ``/wait?token=…`` or ``spgrepl wait``. ``int(position)`` is the number alone.

    Attributes:
        results: The rows of those statements that return any, in their order: RETURNING, SHOW, WAIT FOR.
        history: The id of the log's history, 32 hexadecimal digits; None where it is not known.
    """

    results: tuple[QueryResult, ...]
    history: str | None

    def __new__(cls, position: int, results: Sequence[QueryResult] = (), history: str | None = None) -> Self:
        """Make one.

        Args:
            position: The position.
            results: What statements returned.
            history: Whose log it is in.
        """
        made = super().__new__(cls, position)
        made.results = tuple(results)
        made.history = history
        return made

    def __str__(self) -> str:
        number = int.__repr__(self)
        return number if self.history is None else f"{number}@{self.history}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` made of a position, or a number alone.

        Raises:
            UsageError: The text is nothing of the kind.
        """
        found = _POSITION.fullmatch(text)
        if found is None or int(found[1]) >= 2**64:
            raise UsageError(
                f"{shown_quoted(text)} is not a position: write a number of bytes from 0 on, or one with its "
                f"history, as 622@ and 32 hexadecimal digits"
            )
        return cls(int(found[1]), history=found[2])

"""What statements give back: rows, and the position in the log behind what was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import attrs

from spgrepl.sqltext import SqlValue


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
    """A position in the log, in bytes, and what the statements before it returned.

    It is an int in every respect; what is calculated with it is a plain one.

    Attributes:
        results: The rows of those statements that return any, in their order: RETURNING, SHOW, WAIT FOR.
    """

    results: tuple[QueryResult, ...]

    def __new__(cls, position: int, results: Sequence[QueryResult] = ()) -> Self:
        """Make one.

        Args:
            position: The position.
            results: What statements returned.
        """
        made = super().__new__(cls, position)
        made.results = tuple(results)
        return made

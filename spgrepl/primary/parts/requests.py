"""What callers ask of a primary, and what became of it in its database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from spgrepl.base.results import QueryResult
from spgrepl.errors import SpgReplError
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.text.sqltext import SqlValue

Parameters = Sequence[SqlValue] | Mapping[str, SqlValue]
"""Values for the parameters of a statement, by place or by name."""


_NO_PARAMETERS = (None,)


@attrs.frozen
class Request:
    """What a caller wants done, all or nothing.

    Attributes:
        statements: The statements' texts.
        transaction: Whether they are a transaction; if not, there is one statement.
        mark: The subscription whose rows they are, and how far it comes with them; None for all others.
        parameters: For each statement the values of its parameters, or None; empty where none has any.
        rows: Values for the one statement, which is run once for each; None where it is run once.
    """

    statements: tuple[str, ...]
    transaction: bool = False
    mark: SubscriptionMark | None = None
    parameters: tuple[Parameters | None, ...] = ()
    rows: tuple[Parameters, ...] | None = None

    @property
    def plain(self) -> bool:
        """Whether it is one statement, run once, and nothing else goes with it."""
        return not self.transaction and self.mark is None and self.rows is None

    @property
    def parameter(self) -> Parameters | None:
        """The values for the first statement."""
        return self.parameters[0] if self.parameters else None

    @property
    def size(self) -> int:
        """About how many bytes the statements and their values take."""
        size = sum(map(len, self.statements))
        if self.rows is not None or (self.parameters and self.parameters != _NO_PARAMETERS):
            size += sum(_size_of(one) for one in (*self.parameters, *(self.rows or ())) if one)
        return size


def _size_of(values: Parameters) -> int:
    listed: Iterable[object] = values.values() if isinstance(values, Mapping) else values
    return sum(8 + len(value) if isinstance(value, str | bytes) else 8 for value in listed)


@attrs.frozen
class Applied:
    """A request that was run.

    Attributes:
        start: The offset in the recording where its records begin.
        stop: The offset after them; the same as `start` where it changed nothing.
        results: What its statements returned, those that return rows.
        mark: The subscription whose rows they are; None for all others.
        settings: The settings of the primary that it changed, and whether it switched each on.
    """

    start: int
    stop: int
    results: tuple[QueryResult, ...]
    mark: SubscriptionMark | None = None
    settings: tuple[tuple[str, bool], ...] = ()

    @property
    def logged(self) -> bool:
        """Whether the log gets anything for it."""
        return self.stop > self.start


def are_texts(statements: Sequence[object]) -> bool:
    """Whether statements are texts, as they are to be."""
    return {str}.issuperset(map(type, statements)) or all(isinstance(sql, str) for sql in statements)


@attrs.frozen
class Written:
    """A request that was applied, logged and made durable.

    Attributes:
        position: The position in the log after it, in bytes; where it only looked, the position that it saw.
        results: What its statements returned, those that return rows.
    """

    position: int
    results: tuple[QueryResult, ...]


Answer = Written | SpgReplError
"""What became of a request."""

"""A statement that is ready to run: SQLite's text, and where the values of its parameters come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from spgrepl.spgsql.language.lexing import Literal
from spgrepl.spgsql.language.values import Stored

Moment = Callable[[], int]
"""The time that stands for now(), in microseconds since the epoch."""


@attrs.frozen
class Binding:
    """The value of a parameter.

    Attributes:
        slot: The number of the literal that it is made of; -1 for one that is made of the time.
        convert: Makes it of the literal.
        of_time: Makes it of the time.
    """

    slot: int
    convert: Callable[[Literal], Stored] | None = None
    of_time: Callable[[int], Stored] | None = None

    def value(self, literals: Sequence[Literal], now: Moment) -> Stored:
        """The value."""
        if self.convert is not None:
            return self.convert(literals[self.slot])
        assert self.of_time is not None
        return self.of_time(now())


@attrs.frozen
class Step:
    """One statement of SQLite's.

    Attributes:
        sql: Its text.
        bindings: Its parameters.
        must_be_empty: Why the statement is refused where this one, a query, finds a row; empty for any other.
    """

    sql: str
    bindings: tuple[Binding, ...] = ()
    must_be_empty: str = ""


@attrs.frozen
class Plan:
    """What a statement comes to.

    Attributes:
        steps: What is run, in order.
        approximated: What of it has another value than the master's: pairs of table and what.
        fixed: The numbers of the literals that it was made with: another statement with the same template has
            another plan where these differ.
    """

    steps: tuple[Step, ...]
    approximated: tuple[tuple[str, str], ...] = ()
    fixed: frozenset[int] = frozenset()

"""What is wrong now, and what went wrong before: the one place where a service keeps its errors."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import attrs

from spgrepl.errors import SpgReplError
from spgrepl.rows.recognise import Recogniser
from spgrepl.watch.status import NO_FAULT, Errors, Fault

MOST_KEPT = 20
"""How many errors are remembered; one that repeats counts once."""

_LONGEST_RECORD = 300
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@attrs.frozen
class Complaint:
    """Something that is wrong without an exception.

    Attributes:
        kind: What it is, in a word, such as ``silent``.
        text: What it is, in a sentence.
    """

    kind: str
    text: str

    def __str__(self) -> str:
        return self.text


def complaint_of(kind: str, text: str | None) -> Complaint | None:
    """A complaint, where there is a text."""
    return None if text is None else Complaint(kind, text)


def kind_of(error: object) -> str:
    """The kind of an error in a word: ``EngineFailed`` is ``engine_failed``."""
    if isinstance(error, Complaint):
        return error.kind
    return _WORDS.sub("_", type(error).__name__).lower()


def described_error(*candidates: object) -> Fault:
    """What a status says of the first candidate that is an error at all.

    Args:
        candidates: Exceptions, `Complaint`, the `Fault` of a part, or None.
    """
    for error in candidates:
        if isinstance(error, Fault):
            if error.error:
                return Fault(error.error, error.error_kind or "error")
        elif error is not None:
            return Fault(str(error), kind_of(error))
    return NO_FAULT


@attrs.frozen
class Trouble:
    """An error that came, once or several times in a row.

    Attributes:
        kind: See `kind_of`.
        text: What it says.
        first: When it came first, in seconds since the epoch.
        last: When it came last.
        times: How often it came.
        position: The position in the log that it names; None where it names none.
        table: The table of the record that was refused; None where it is not a row, or no record.
        key: The row's key, for people.
        record: The record's SQL, shortened.
    """

    kind: str
    text: str
    first: float
    last: float
    times: int = 1
    position: int | None = None
    table: str | None = None
    key: str | None = None
    record: str | None = None


def trouble_of(error: SpgReplError, now: float) -> Trouble:
    """Take down an error, with the row that it is about where it names one."""
    sql = getattr(error, "sql", None)
    table = key = record = None
    if isinstance(sql, str):
        row = Recogniser().read(sql.encode("utf-8", "surrogateescape"))
        if row is not None:
            table, key = row.shape.table, row.shape.key_text(row.values)
        record = sql if len(sql) <= _LONGEST_RECORD else sql[:_LONGEST_RECORD] + "…"
    position = getattr(error, "position", None)
    return Trouble(kind_of(error), str(error), now, now, 1, position, table, key, record)


class Troubles:
    """The error of a service, and those before it.

    Args:
        wall_clock: Tells the time of day in seconds since the epoch.

    Attributes:
        now: What is wrong now; None while nothing is.
        counts: How many errors came, by kind.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._kept: deque[Trouble] = deque(maxlen=MOST_KEPT)
        self.now: SpgReplError | None = None
        self.counts: Counter[str] = Counter()

    def set(self, error: SpgReplError | None) -> None:
        """Say what is wrong now; None says that nothing is any more."""
        before, self.now = self.now, error
        if error is None or error is before:
            return
        self.counts[kind_of(error)] += 1
        came = trouble_of(error, self._wall_clock())
        if self._kept and (self._kept[-1].kind, self._kept[-1].text) == (came.kind, came.text):
            last = self._kept.pop()
            came = attrs.evolve(last, last=came.last, times=last.times + 1)
        self._kept.append(came)

    def applied(self, position: int, moved: bool) -> None:
        """Note that everything up to a position is applied: an error at a record is over with that record.

        Args:
            position: The position.
            moved: Whether anything new was applied, which ends an error that names no record.
        """
        at = getattr(self.now, "position", None)
        if position > at if at is not None else moved:
            self.now = None

    def over(self, *kinds: type[SpgReplError]) -> None:
        """Note that errors of some kinds are over."""
        if isinstance(self.now, kinds):
            self.now = None

    def describe(self) -> Errors:
        """What the status says of errors."""
        return Errors(dict(self.counts), tuple(reversed(self._kept)))


class Troubled:
    """A service with `Troubles`, whose present error is its `_error`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.troubles = Troubles()
        super().__init__(*args, **kwargs)

    @property
    def _error(self) -> SpgReplError | None:
        return self.troubles.now

    @_error.setter
    def _error(self, error: SpgReplError | None) -> None:
        self.troubles.set(error)

"""The target of a subscription that belongs to a primary: its rows are written, and logged, through that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from zope.interface import implementer

from spgrepl.dialect.translate import MYSQL, POSTGRESQL, TranslationFailed, to_sqlite
from spgrepl.engines.row_applier import RowCounts, bound_values
from spgrepl.errors import ConfigurationError, EngineFailed, LoggedNotApplied, StatementFailed, StatementRefused
from spgrepl.interfaces.conflicts import ConflictCounts
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.parts.requests import Request
from spgrepl.rows.origins import origins_in
from spgrepl.rows.recognise import Recognised, Recogniser
from spgrepl.rows.shapes import Shape, parameters_sql
from spgrepl.rows.values import RowValue
from spgrepl.text.sqltext import split_statements

_OF_A_RECORD = frozenset({StatementKind.BEGIN, StatementKind.COMMIT})

_MOST_TRIES = 5
"""After so many records that had to be put into SQLite's words, all further ones of its batch are too."""


@attrs.frozen
class _Step:
    """A statement that the primary is to run.

    Attributes:
        text: The statement.
        parameters: Values for its parameters; None where it has none.
        row: The row that it stands for, and its values; None where it is a statement of a user.
    """

    text: str
    parameters: Sequence[Any] | None = None
    row: tuple[Shape, tuple[RowValue, ...]] | None = None


def _row_step(found: Recognised) -> _Step:
    values = tuple(found.values)
    return _Step(parameters_sql(found.shape, values), bound_values(values), (found.shape, values))


@implementer(ITarget)
class PrimaryTarget:
    """Puts the rows of one subscription into a primary's database, each batch as one logged transaction.

    Its methods are called in the subscription's thread, and wait there for the primary, which lives in the
    reactor's.

    Args:
        reactor: The reactor.
        name: The subscription's name.
        read_state: Reads the subscription's row; called in the reactor's thread.
        run: Carries a request out; called in the reactor's thread.
        master: Tells the master's cluster id: rows that state no origin originated there.
    """

    kind = "primary"
    files = ()

    def __init__(
        self,
        reactor: Any,
        name: str,
        read_state: Callable[[str], Deferred[Any]],
        run: Callable[[Request], Deferred[Any]],
        master: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._read_state = read_state
        self._run = run
        self._master = master
        self._state: SubscriptionState | None = None
        self._records: list[list[_Step]] = []
        self._recogniser = Recogniser()
        self._rows = RowCounts()
        self._conflicts = ConflictCounts()
        self._sql: list[bytes] = []
        self._stating: list[bytes | None] = []
        self._put_aside: list[tuple[int, bytes, bytes, str]] = []
        self._statements = 0
        self._skipped = 0

    def open(self) -> SubscriptionState | None:
        """See `ITarget`."""
        found: SubscriptionState | None = blockingCallFromThread(  # type: ignore[assignment]
            self._reactor, self._read_state, self._name
        )
        self._state = found
        return found

    def start(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        self._ask(Request((), True, SubscriptionMark(self._name, None, state)))
        self._state = state

    def check_snapshot_head(self, head: bytes) -> None:
        """See `ITarget`. Nothing is copied into a primary."""
        self._refuse_copy()

    def copy_snapshot(
        self,
        path: Path,
        publications: Sequence[str],
        position: int,
        segments: Path | None = None,
        before: Mark | None = None,
    ) -> SubscriptionState:
        """See `ITarget`. As at an SPG server nothing is copied: a subscription begins at the master's end."""
        self._refuse_copy()
        raise AssertionError

    @staticmethod
    def _refuse_copy() -> None:
        raise ConfigurationError("the rows of a snapshot cannot be copied into a primary")

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `ITarget`."""
        self._records, self._sql, self._stating, self._put_aside = [], [], [], []

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType], rows: bool = False) -> None:
        """See `ITarget`. What is refused shows at `commit`, with an index over all records since `begin`."""
        for index, sql in enumerate(statements):
            try:
                row = self._recogniser.read(sql) if rows and index not in types else None
                if row is not None:
                    self._records.append([_row_step(row)])
                else:
                    texts = _texts(sql, types.get(index, RecordType.SQL))
                    self._records.append([_Step(text) for text in texts])
            except (TranslationFailed, UnicodeDecodeError) as error:
                raise StatementRefused(index, sql, str(error)) from error
            self._sql.append(sql)
            # Only rows state an origin: a client of an SPG server may end its statements with any comment.
            self._stating.append(sql if rows else None)

    def keep_skipped(self, position: int, record: bytes, sql: bytes, reason: str) -> None:
        """See `ITarget`."""
        self._put_aside.append((position, record, sql, reason))

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`.

        Raises:
            StatementRefused: The primary refuses a record.
        """
        tried: set[int] = set()
        while True:
            steps = [step for record in self._records for step in record]
            rows = tuple(step.row for step in steps)
            mark = SubscriptionMark(self._name, self._state, state, tuple(self._put_aside), self._origins(), rows)
            request = Request(
                tuple(step.text for step in steps), True, mark, tuple(step.parameters for step in steps)
            )
            try:
                self._ask(request)
            except StatementFailed as refused:
                index = self._record_of(refused.number)
                if index is None:
                    raise
                if index in tried or not self._translate(index, len(tried)):
                    error = StatementRefused(index, self._sql[index], str(refused), refused.conflict)
                    self._conflicts.note(error)
                    raise error from refused
                tried.add(index)
            else:
                break
        if self._records or self._put_aside:
            self._conflicts.went_on()
        self._state = state
        for step in steps:
            if step.row is not None:
                self._rows.add(step.row[0], 1)
        self._statements += len(self._records)
        self._skipped += len(self._put_aside)
        self.begin()

    def _origins(self) -> tuple[int | None, ...]:
        """Where each statement's row originated."""
        master, stated = self._master(), origins_in(self._stating)
        return tuple(stated.get(index, master) for index, texts in enumerate(self._records) for _ in texts)

    def _record_of(self, number: int) -> int | None:
        """The record that a statement belongs to, by the statement's number in the request, from 1."""
        for index, texts in enumerate(self._records):
            number -= len(texts)
            if texts and number <= 0:
                return index
        return None

    def _translate(self, index: int, tries: int) -> bool:
        """Put a record that was refused into SQLite's words; whether that made it another one."""
        last = len(self._records) if tries >= _MOST_TRIES else index + 1
        changed = False
        for number in range(index, last):
            if any(step.row is not None for step in self._records[number]):
                continue
            text = self._sql[number].decode("utf-8")
            try:
                found = [_Step(piece) for piece in to_sqlite(text, POSTGRESQL)]
            except TranslationFailed:
                continue
            if number == index:
                changed = found != self._records[number]
            self._records[number] = found
        return changed

    def rollback(self) -> None:
        """See `ITarget`."""
        self.begin()

    def statistics(self) -> Mapping[str, object]:
        """See `ITarget`."""
        return {
            "statements": self._statements,
            "skipped": self._skipped,
            "rows": self._rows.as_values(),
            "conflicts": self._conflicts.as_values(),
        }

    def interrupt(self) -> None:
        """See `ITarget`. Nothing here takes long."""

    def close(self) -> None:
        """See `ITarget`. The primary is its owner's."""

    def _ask(self, request: Request) -> None:
        try:
            blockingCallFromThread(self._reactor, self._run, request)
        except LoggedNotApplied as later:
            # It is durable and takes effect before the next request: to all that asks, it is done.
            raise EngineFailed(f"{later}; the subscription goes on from there") from later


def _texts(sql: bytes, kind: RecordType) -> list[str]:
    """The statements of a record, one a text, as a primary takes them."""
    text = sql.decode("utf-8")
    if kind is RecordType.MYSQL:
        return to_sqlite(text, MYSQL)
    if ";" not in text:
        return [text]
    return [one for one in split_statements(text) if statement_kind(one.encode()) not in _OF_A_RECORD]

"""The target of a subscription that belongs to a primary: its rows are written, and logged, through that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from zope.interface import implementer

from spgrepl.engines.translate import MYSQL, POSTGRESQL, TranslationFailed, to_sqlite
from spgrepl.errors import ConfigurationError, EngineFailed, LoggedNotApplied, StatementFailed, StatementRefused
from spgrepl.primary.marks import SubscriptionMark
from spgrepl.primary.session import Request
from spgrepl.sqltext import split_statements
from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
from spgrepl.wal.records import RecordType
from spgrepl.wal.transactions import StatementKind, statement_kind

_OF_A_RECORD = frozenset({StatementKind.BEGIN, StatementKind.COMMIT})

_MOST_TRIES = 5
"""After so many records that had to be put into SQLite's words, all further ones of its batch are too."""


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
    """

    kind = "primary"

    def __init__(
        self,
        reactor: Any,
        name: str,
        read_state: Callable[[str], Deferred[Any]],
        run: Callable[[Request], Deferred[Any]],
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._read_state = read_state
        self._run = run
        self._state: SubscriptionState | None = None
        self._records: list[list[str]] = []
        self._sql: list[bytes] = []
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

    def copy_snapshot(self, path: Path, publications: Sequence[str], position: int) -> SubscriptionState:
        """See `ITarget`. As at an SPG server nothing is copied: a subscription begins at the master's end."""
        self._refuse_copy()
        raise AssertionError

    @staticmethod
    def _refuse_copy() -> None:
        raise ConfigurationError("the rows of a snapshot cannot be copied into a primary")

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `ITarget`."""
        self._records, self._sql, self._put_aside = [], [], []

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType]) -> None:
        """See `ITarget`. What is refused shows at `commit`, with an index over all records since `begin`."""
        for index, sql in enumerate(statements):
            try:
                self._records.append(_texts(sql, types.get(index, RecordType.SQL)))
            except (TranslationFailed, UnicodeDecodeError) as error:
                raise StatementRefused(index, sql, str(error)) from error
            self._sql.append(sql)

    def keep_skipped(self, position: int, record: bytes, sql: bytes, reason: str) -> None:
        """See `ITarget`."""
        self._put_aside.append((position, record, sql, reason))

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`.

        Raises:
            StatementRefused: The primary refuses a record.
        """
        mark = SubscriptionMark(self._name, self._state, state, tuple(self._put_aside))
        tried: set[int] = set()
        while True:
            texts = [text for record in self._records for text in record]
            try:
                self._ask(Request(tuple(texts), True, mark))
            except StatementFailed as refused:
                index = self._record_of(refused.number)
                if index is None:
                    raise
                if index in tried or not self._translate(index, len(tried)):
                    raise StatementRefused(index, self._sql[index], str(refused)) from refused
                tried.add(index)
            else:
                break
        self._state = state
        self._statements += len(self._records)
        self._skipped += len(self._put_aside)
        self.begin()

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
            text = self._sql[number].decode("utf-8")
            try:
                found = to_sqlite(text, POSTGRESQL)
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
        return {"statements": self._statements, "skipped": self._skipped}

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

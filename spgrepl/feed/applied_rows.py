"""What a subscription applies, kept in a log of its own, so that a change feed can read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

from spgrepl.errors import EngineFailed, LocalFilesDamaged, RecordError
from spgrepl.feed.units import STATEMENTS_FROM_HERE, applied_mark, applied_position
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType, encode_mysql, encode_v2
from spgrepl.log.reader import iterate_records
from spgrepl.log.writer import LogWriter
from spgrepl.replica.following.applied_log import AppliedLog
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE

_ANY_LENGTH = 2**31


@implementer(ITarget)
class AppliedRows:
    """A target that hands everything on to another one, and writes down what that one applies.

    What is committed as one is fsynced here first, with the position that it leads to, and then committed there.
    After a crash, what was written and not committed is cut off. The log begins where the subscription stands when
    it is first used: rows of an initial copy are not in it.

    Args:
        reactor: The reactor in whose thread `log` is published.
        target: Where rows are applied.
        path: The log. It must not be one of the files beside a database: give it a name of its own.
        database: The SQLite database that rows are applied to, which is asked for the keys of tables; None where
            there is none.

    Attributes:
        log: The log, as far as it is applied.
    """

    def __init__(
        self, reactor: IReactorFromThreads, target: ITarget, path: Path, database: Path | None = None
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._writer = LogWriter(path)
        self._position = 0
        self._work: list[tuple[bytes, RecordType | None, bool]] = []
        self.log = AppliedLog(path, database)

    @property
    def files(self) -> tuple[Path, ...]:
        """See `ITarget`."""
        return tuple(self._target.files)

    @property
    def kind(self) -> str:
        """See `ITarget`."""
        return str(self._target.kind)

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self) -> SubscriptionState | None:
        """See `ITarget`.

        Raises:
            LocalFilesDamaged: The log does not hold what this subscription has applied.
        """
        state: SubscriptionState | None = self._target.open()
        if state is not None:
            self._position = state.position
        if not self._writer.path.exists():
            return state
        try:
            self._writer.open()
            if self._writer.length:
                self._recover(state)
        except OSError as error:
            raise LocalFilesDamaged(f"{self._writer.path} cannot be used: {error}") from error
        return state

    def _recover(self, state: SubscriptionState | None) -> None:
        """Cut off what was not committed."""
        path = self._writer.path
        if state is None:
            raise LocalFilesDamaged(
                f"{path} holds what a subscription has applied, and this one has not begun: move the file away, "
                f"or name another one"
            )
        end, reached = self._last_mark(state.position)
        if reached != state.position:
            what = "no mark of this kind" if reached is None else f"nothing after position {reached}"
            raise LocalFilesDamaged(
                f"{path} has {what}, and the subscription has applied what comes before position {state.position} "
                f"of its master's log: the rest was applied without this log. Move the file away: a new one "
                f"begins at that position"
            )
        if end < self._writer.length:
            self._writer.cut(end)
        self._publish()

    def _last_mark(self, most: int) -> tuple[int, int | None]:
        """Where the last mark ends that states this position, or one before it; and what it states."""
        end, reached = 0, None
        try:
            for batch in iterate_records(self._writer.path, max_record=_ANY_LENGTH):
                for index in batch.special:
                    position = applied_position(batch.sql[index])
                    if position is not None and position <= most:
                        end, reached = batch.start_of(index + 1), position
                if reached is None:
                    break
        except RecordError:
            pass  # What comes after the last mark may be torn; whether marks are missing is seen by the caller.
        return end, reached

    def close(self) -> None:
        """See `ITarget`."""
        self._target.close()
        self._writer.close()
        self._reactor.callFromThread(self.log.close)

    def interrupt(self) -> None:
        """See `ITarget`."""
        self._target.interrupt()

    # -- beginning --------------------------------------------------------------------------------------------

    def start(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        self._target.start(state)
        self._begin_log(state)

    def check_snapshot_head(self, head: bytes) -> None:
        """See `ITarget`."""
        self._target.check_snapshot_head(head)

    def copy_snapshot(self, *arguments: Any, **more: Any) -> SubscriptionState:
        """See `ITarget`. Whoever reads the log has to read the tables again."""
        state: SubscriptionState = self._target.copy_snapshot(*arguments, **more)
        self._begin_log(state)
        return state

    def _begin_log(self, state: SubscriptionState) -> None:
        """Begin the log at a state; what an earlier beginning has left there is given up."""
        self._position = state.position
        try:
            if self._writer.is_open and self._writer.length:
                self._writer.replace()
                self._reactor.callFromThread(self.log.restart)
        except OSError as error:
            raise self._failed(error) from error
        self._require_log()

    def _require_log(self) -> None:
        """Make the log, where it is missing, and let it begin at the position of the subscription."""
        try:
            if not self._writer.is_open:
                self._writer.open()
            if not self._writer.length:
                self._append(encode_v2(applied_mark(self._position)))
                self._publish()
        except OSError as error:
            raise self._failed(error) from error

    # -- transactions -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See `ITarget`.

        Raises:
            FileLost: The log was moved away, or somebody else has changed it.
        """
        self._work.clear()
        self._require_log()
        self._writer.require_in_place()
        self._target.begin()

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType], rows: bool = False) -> None:
        """See `ITarget`."""
        self._target.execute(statements, types, rows)
        self._work += [(sql, types.get(index), rows) for index, sql in enumerate(statements)]

    def keep_skipped(self, position: int, record: bytes, sql: bytes, reason: str) -> None:
        """See `ITarget`. It was not applied, and is not in the log."""
        self._target.keep_skipped(position, record, sql, reason)

    def commit(self, state: SubscriptionState) -> None:
        """See `ITarget`."""
        before = self._writer.length
        try:
            self._append(b"".join(_records(self._work, state.position)))
            self._target.commit(state)
        except OSError as error:
            self._writer.take_back(before)
            raise self._failed(error) from error
        except BaseException:
            self._writer.take_back(before)
            raise
        self._work.clear()
        self._position = state.position
        self._publish()

    def rollback(self) -> None:
        """See `ITarget`."""
        self._work.clear()
        self._target.rollback()

    def statistics(self) -> Mapping[str, object]:
        """See `ITarget`."""
        found: Mapping[str, object] = self._target.statistics()
        return found

    def _append(self, data: bytes) -> None:
        self._writer.append(data)
        self._writer.sync()

    def _publish(self) -> None:
        self._reactor.callFromThread(self.log.publish, self._writer.length, 0)

    def _failed(self, error: OSError) -> EngineFailed:
        return EngineFailed(f"{self._writer.path} cannot be written: {error}")


def _records(work: Sequence[tuple[bytes, RecordType | None, bool]], position: int) -> Iterator[bytes]:
    """The records of what was applied as one. They say themselves whether they are rows: any may be read first."""
    rows: bool | None = None
    for sql, kind, is_row in work:
        if is_row is not rows:
            rows = is_row
            yield encode_v2(ROWS_FROM_HERE if rows else STATEMENTS_FROM_HERE)
        yield encode_mysql(sql) if kind is RecordType.MYSQL else encode_v2(sql)
    yield encode_v2(applied_mark(position))

"""Holds the log back until the rows that an SPG snapshot has in cold segments are there.

A statement of the log may change such a row, and would find none. An SPG master sends all segments right after the
snapshot; other masters send them beside the log. So the log waits as long as segments come, and a while longer:
then rows whose segment never came are named, or done without, as the operator said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from spgrepl.base.worker import EngineWorker
from spgrepl.engines.cold_rows import IColdRows
from spgrepl.errors import ColdRowsMissing, PeerClosed
from spgrepl.interfaces.engine import IEngine
from spgrepl.replica.following.queue import ReplayQueue
from spgrepl.segments.incoming import SegmentAssembler
from spgrepl.text.role_log import RoleLogger

PATIENCE = 15.0
"""For how many seconds without a byte of a segment the log waits for one."""

EVERY = 1.0
"""How often that is looked at, in seconds; a STATUS of the master is another occasion."""


class ColdRowsGate:
    """Stands between a connection and replay.

    Args:
        worker: The engine's thread.
        engine: The engine; one that is not `IColdRows` never waits.
        segments: The segments that come.
        queue: The log that comes.
        without: Whether to do without rows whose segment never comes.

    Attributes:
        waiting: Whether the log is held back.
        missing: The rows that are missing, in words, as far as is known.
    """

    _log = RoleLogger()

    def __init__(
        self,
        worker: EngineWorker,
        engine: IEngine,
        segments: SegmentAssembler,
        queue: ReplayQueue,
        without: bool,
    ) -> None:
        self._clock: Any = None
        self._worker = worker
        self._engine: IColdRows | None = IColdRows(engine, None)
        self._segments = segments
        self._queue = queue
        self._without = without
        self._failed: Callable[[Failure], None] = lambda _: None
        self._timer = LoopingCall(self.look)
        self._busy = False
        self._tried = -1
        self._touched = 0.0
        self._stream = 0
        self._skipped = False
        self.waiting = False
        self.missing: str | None = None

    def tell(self, clock: Any, failed: Callable[[Failure], None]) -> None:
        """Say who is told.

        Args:
            clock: For the patience: `IReactorTime`, monotonic.
            failed: Called with the failure when rows are missing for good.
        """
        self._clock = self._timer.clock = clock
        self._failed = failed

    def begin(self) -> None:
        """A stream begins: hold its log back where rows are missing."""
        self.end()
        if self._engine is None or not self._engine.cold_rows_pending():
            return
        self._log.info("rows of the snapshot are in cold segments: the log waits for them")
        self.waiting = self._queue.held = True
        self._skipped = False
        self._tried = -1
        self._touched = self._clock.seconds()
        self._timer.start(EVERY, now=False).addErrback(self._failed)

    def end(self) -> None:
        """The stream has ended."""
        self._stream += 1
        self.waiting = self._queue.held = False
        if self._timer.running:
            self._timer.stop()

    def touched(self) -> None:
        """Something of a segment came."""
        self._touched = self._clock.seconds()

    def skip_log(self) -> bool:
        """More of the log has come than may wait: let it go, so that segments go on coming.

        Returns:
            Whether the log is held back, and was let go; the stream begins again when the rows are there.
        """
        if self.waiting:
            self._queue.discard()
            self._skipped = True
        return self.waiting

    def look(self) -> None:
        """Put in what can be put in, and judge whether to wait on."""
        if not self.waiting or self._busy:
            return
        there = dict(self._segments.confirmed)
        if self._segments.finishing:
            self.touched()
        late = not self._segments.finishing and self._clock.seconds() - self._touched >= PATIENCE
        if len(there) == self._tried and not late:
            return
        assert self._engine is not None
        self._tried = len(there)
        self._busy = True
        settling = self._worker.call(self._engine.settle_cold_rows, there)
        settling.addCallback(self._settled, self._stream, late)
        settling.addBoth(self._done).addErrback(self._refused, self._stream)

    def _done(self, result: Any) -> Any:
        self._busy = False
        return result

    def _settled(self, missing: str | None, stream: int, late: bool) -> Any:
        self.missing = missing
        if stream != self._stream:
            return None
        if missing is None:
            self._log.info("all rows of the snapshot are there: the log is applied")
            self._open()
        elif late and self._without:
            assert self._engine is not None
            self._log.warn("going on without rows whose cold segments did not come: {missing}", missing=missing)
            return self._worker.call(self._engine.forgo_cold_rows).addCallback(self._forgone, stream)
        elif late:
            raise ColdRowsMissing(
                f"rows of the snapshot are in cold segments that the master does not send: {missing}. Bring the "
                f"segments to the master, or do without these rows (--without-cold-rows)"
            )
        return None

    def _forgone(self, _: object, stream: int) -> None:
        self.missing = None
        if stream == self._stream:
            self._open()

    def _open(self) -> None:
        self.end()
        if self._skipped:
            self._failed(
                Failure(PeerClosed("the log that came before the rows in cold segments is asked for again"))
            )
        else:
            self._queue.release()

    def _refused(self, failure: Failure, stream: int) -> None:
        if stream == self._stream:
            self.end()
            self._queue.discard()
            self._failed(failure)

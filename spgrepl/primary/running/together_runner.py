"""Runs statements together that `spgrepl.primary.parts.together` has put together, and records what each did."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw

from spgrepl.errors import SpgReplError, StatementFailed
from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.recorder import RowRecorder
from spgrepl.primary.parts.together import FailedTogether

Trace = Callable[[apsw.Cursor, str, object], bool]


class TogetherRunner:
    """Runs statements together. Blocking; used by one thread at a time.

    Args:
        connection: The connection that writes.
        guard: Its authorizer.
        recorder: Records the rows that change.
        interruption: Returns the error with which everything ends; None while nothing is interrupted.
        refusal: Says what an error means, of a statement.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        guard: ObjectGuard,
        recorder: RowRecorder,
        interruption: Callable[[], SpgReplError | None],
        refusal: Callable[[Exception, str], SpgReplError],
    ) -> None:
        self._connection = connection
        self._guard = guard
        self._recorder = recorder
        self._interruption = interruption
        self._refusal = refusal

    def run(self, texts: Sequence[str], ended: Callable[[], None] | None = None) -> None:
        """Run statements and record what they did.

        Args:
            texts: The statements.
            ended: Called after each of them, when what it did was recorded; None where that does not matter.

        Raises:
            FailedTogether: One is refused.
            EngineFailed: The disk refuses.
        """
        self._begin()
        try:
            self._recorder.start()
            self._execute(texts, None if ended is None else self._between(ended))
            self._recorder.finish()
            if ended is not None:
                ended()
        except OSError:
            raise
        except Exception as error:
            raise self._failed(error, texts[0]) from error
        finally:
            self._recorder.stop()

    def run_group(self, texts: Sequence[str]) -> list[int] | None:
        """Run statements each of which is a request of its own, all in the compiled core.

        Args:
            texts: The statements.

        Returns:
            Where in the recording the first begins and each ends. None where that cannot be, for what they
            change, or as there is no core: some of them may have run, and nothing of them was recorded.

        Raises:
            FailedTogether, EngineFailed, OSError: As for `run`.
        """
        self._begin()
        try:
            if not self._recorder.start_group():
                return None
            self._execute(texts, self._recorder.began)
            return self._recorder.finish_group()
        except OSError:
            raise
        except apsw.ExecTraceAbort:
            return self._recorder.finish_group()
        except Exception as error:
            raise self._failed(error, texts[0]) from error
        finally:
            self._recorder.stop()

    def _begin(self) -> None:
        reason = self._interruption()
        if reason is not None:
            raise reason
        self._guard.take()

    def _failed(self, error: Exception, text: str) -> SpgReplError:
        refusal = self._refusal(error, text)
        return FailedTogether(str(refusal), text) if isinstance(refusal, StatementFailed) else refusal

    def _execute(self, texts: Sequence[str], trace: Trace | None) -> None:
        cursor = self._connection.cursor()
        try:
            if trace is not None:
                cursor.exec_trace = trace
            self._guard.watching = True
            cursor.execute(";".join(texts), can_cache=False)
        finally:
            self._guard.watching = False
            cursor.close(True)

    def _between(self, ended: Callable[[], None]) -> Trace:
        """What is to be called before each statement: ends the one before."""
        recorder, guard = self._recorder, self._guard
        first = True

        def began(_cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
            nonlocal first
            if not first:
                guard.watching = False
                recorder.finish()
                ended()
                recorder.start()
                guard.watching = True
            first = False
            return True

        return began

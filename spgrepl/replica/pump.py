"""What waits between a connection and the thread that applies it: one batch in flight while the next gathers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.measures import BYTES, SECONDS, Histogram
from spgrepl.base.worker import EngineWorker
from spgrepl.interfaces.store import IStore

_Batch = TypeVar("_Batch")
_Progress = TypeVar("_Progress")


@implementer(IStore)
class Pump(ABC, Generic[_Batch, _Progress]):
    """Hands on what came, in batches that grow by themselves where applying takes longer than receiving.

    Args:
        worker: The thread that applies.
        apply: Applies a batch there.
        progressed: Called with the progress after each batch.
        failed: Called with the failure of a batch. Nothing more is handed on until `open` is called.

    Attributes:
        held: Whether nothing is handed on for now; see `release`.
        measures: How big the batches are, and how long they take.
    """

    high_water: ClassVar[int]
    """With this many bytes waiting, nothing more is to be read from the master."""

    low_water: ClassVar[int]
    """With this few bytes waiting, reading goes on."""

    def __init__(
        self,
        worker: EngineWorker,
        apply: Callable[[_Batch], _Progress],
        progressed: Callable[[_Progress], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._worker = worker
        self._apply = apply
        self._progressed = progressed
        self._failed = failed
        self._in_flight = False
        self._open = False
        self.held = False
        self.measures = {"batch_bytes": Histogram(BYTES), "apply_seconds": Histogram(SECONDS)}

    # -- what each kind does in its own way -----------------------------------------------------------------------

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many bytes wait."""

    @abstractmethod
    def _forget(self) -> None:
        """Forget what waits."""

    @abstractmethod
    def _take(self) -> tuple[_Batch, int] | None:
        """Take out the next batch, with its size; None where there is nothing to hand on."""

    # -- for the connection ---------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether nothing more should come."""
        return self.waiting >= self.high_water

    @property
    def drained(self) -> bool:
        """Whether, after it was full, there is room again."""
        return self.waiting <= self.low_water

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing is being applied."""
        return not (self._in_flight or self.held or self.waiting)

    def open(self) -> None:
        """Begin with a stream that follows the applied position."""
        self.discard()
        self._open = True

    def discard(self) -> None:
        """Forget what waits: its connection has ended, and it will come again."""
        self._open = False
        self._forget()

    def release(self) -> None:
        """Hand on what was held back."""
        self.held = False
        self._hand_over()

    # -- handing on -----------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        if self._in_flight or self.held:
            return
        found = self._take()
        if found is not None:
            batch, size = found
            self._in_flight = True
            self.measures["batch_bytes"].observe(size)
            self._worker.call(self._timed, batch).addBoth(self._done)

    def _timed(self, batch: _Batch) -> _Progress:
        """Apply a batch; called in the worker's thread."""
        return self.measures["apply_seconds"].time(self._apply, batch)

    def _done(self, result: _Progress | Failure) -> None:
        self._in_flight = False
        if isinstance(result, Failure):
            # What waits does not follow the position that was gone back to.
            self.discard()
            self._failed(result)
        else:
            self._hand_over()
            self._progressed(result)

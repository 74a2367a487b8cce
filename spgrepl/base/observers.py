"""Results that several wait for: one that comes once, and those that come time after time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


class Barrier(Generic[_T]):
    """A place where any number wait: each opening lets those through who wait then, with a result or a failure."""

    def __init__(self) -> None:
        self._waiting: dict[int, Deferred[_T]] = {}

    @property
    def heard(self) -> bool:
        """Whether anybody waits at present."""
        return bool(self._waiting)

    def wait(self) -> Deferred[_T]:
        """Wait for the next opening.

        Returns:
            A Deferred that fires with the result, or fails with the failure. It may be cancelled.
        """
        waiter: Deferred[_T] = Deferred(self._forget)
        self._waiting[id(waiter)] = waiter
        return waiter

    def _forget(self, waiter: Deferred[_T]) -> None:
        self._waiting.pop(id(waiter), None)

    def open(self, result: _T | Failure) -> None:
        """Tell all who wait; who comes later, even while they are told, waits for the next time."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            # Takes a Failure as a failure.
            waiter.callback(result)


class OneShot(Generic[_T]):
    """Fires once, with a result or a failure; whoever asks gets a Deferred of its own, before or after."""

    def __init__(self) -> None:
        self._barrier: Barrier[_T] = Barrier()
        self._result: _T | Failure | None = None
        self.fired = False

    @property
    def heard(self) -> bool:
        """Whether anybody waits at present."""
        return self._barrier.heard

    def wait(self) -> Deferred[_T]:
        """Wait.

        Returns:
            A Deferred that fires with the result, or fails with the failure. It may be cancelled.
        """
        waiter = self._barrier.wait()
        if self.fired:
            self._barrier.open(self._result)  # type: ignore[arg-type]
        return waiter

    def fire(self, result: _T | Failure) -> None:
        """Tell all who wait. Only the first result counts."""
        if self.fired:
            return
        self.fired, self._result = True, result
        self._barrier.open(result)


class Shared(Generic[_T]):
    """Work that is done once for all who ask while it is being done.

    Args:
        work: Does it.
    """

    def __init__(self, work: Callable[[], Deferred[_T]]) -> None:
        self._work = work
        self._barrier: Barrier[_T] = Barrier()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether the work is being done."""
        return self._busy

    def ask(self) -> Deferred[_T]:
        """Ask for the result of the work that is being done, which begins where none is.

        Returns:
            A Deferred of the result, which fails with what the work fails with.
        """
        asked = self._barrier.wait()
        if not self._busy:
            self._busy = True
            self._work().addBoth(self._done)
        return asked

    def _done(self, result: _T | Failure) -> None:
        self._busy = False
        self._barrier.open(result)

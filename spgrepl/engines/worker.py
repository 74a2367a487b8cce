"""The thread that an engine lives in."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_P = ParamSpec("_P")
_R = TypeVar("_R")


class _DaemonThread(Thread):
    """A thread that does not keep a program alive which ends without stopping its services.

    What is lost then is what a SIGKILL would lose: nothing that was told to anybody.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class EngineWorker:
    """One thread that runs blocking calls one after another.

    Args:
        reactor: Where results are delivered.
        name: The thread's name, for those who look at the process.
    """

    def __init__(self, reactor: IReactorThreads, name: str) -> None:
        self._reactor = reactor
        # One thread, never more: an engine's methods must not overlap.
        self._pool = ThreadPool(minthreads=1, maxthreads=1, name=name)
        self._pool.threadFactory = _DaemonThread
        self._running = False

    def start(self) -> None:
        """Start the thread."""
        self._pool.start()
        self._running = True

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_R]:
        """Run a blocking call in the thread, behind those that were asked for before.

        Returns:
            A Deferred that fires in the reactor's thread with what the call returns or raises.
        """
        return deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs)

    def stop(self) -> None:
        """End the thread once its calls are done; waits for it. Nothing happens when it does not run."""
        if self._running:
            self._running = False
            self._pool.stop()

"""The thread that an engine lives in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

_P = ParamSpec("_P")
_R = TypeVar("_R")


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
        # A program that ends without stopping its services must end all the same; what is lost then is what
        # a SIGKILL would lose: nothing that was told to anybody.
        self._pool.threadFactory = partial(Thread, daemon=True)
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

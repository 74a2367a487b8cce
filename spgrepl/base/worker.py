"""The threads that blocking calls run in: pools of them, and the one that an engine lives in."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread, Timer
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from zope.interface import Interface

from spgrepl.errors import ServiceStopped
from spgrepl.text.role_log import Speaker, speaking

_P = ParamSpec("_P")
_R = TypeVar("_R")


GRACE_SECONDS = 1.0
"""So long may what runs when a service is stopped go on, before it is interrupted."""


class IThreadPools(Interface):
    """A reactor that makes the pools itself, such as that of `spgrepl.testing`, which has no threads."""

    def new_pool(name: str, size: int) -> Any:
        """Make a pool with the methods of `twisted.python.threadpool.ThreadPool`.

        Args:
            name: What it is for.
            size: How many calls may run at the same time.
        """


class DaemonThread(Thread):
    """A thread that does not keep a program alive which ends without stopping its services.

    What is lost then is what a SIGKILL would lose: nothing that was told to anybody.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


def new_pool(reactor: Any, name: str, size: int, *, kept: int = 0, daemon: bool = False) -> Any:
    """Make a pool of threads for a reactor.

    Args:
        reactor: The reactor that results are delivered in.
        name: The threads' name, for those who look at the process.
        size: How many calls may run at the same time.
        kept: How many threads stay while nothing runs.
        daemon: Whether the threads end with the program, see `DaemonThread`.
    """
    if IThreadPools.providedBy(reactor):
        return reactor.new_pool(name, size)
    pool = ThreadPool(minthreads=kept, maxthreads=size, name=name)
    if daemon:
        pool.threadFactory = DaemonThread
    return pool


class EngineWorker:
    """One thread that runs blocking calls one after another.

    Args:
        reactor: Where results are delivered.
        name: The thread's name, for those who look at the process.
    """

    _speaker: Speaker | None = None
    """Whose calls they are; see `spgrepl.text.role_log.speak_for`."""

    def __init__(self, reactor: IReactorThreads, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._pool = self._new_pool()
        self._running = False
        self._since: float | None = None

    @property
    def busy_seconds(self) -> float:
        """How long the call that runs has run, in seconds; 0 while none does."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    def _new_pool(self) -> Any:
        # One thread, never more: an engine's methods must not overlap.
        return new_pool(self._reactor, self._name, 1, kept=1, daemon=True)

    def start(self) -> None:
        """Start the thread; after a stop again, with a new one."""
        if self._pool.joined:
            self._pool = self._new_pool()
        self._pool.start()
        self._running = True

    def call(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Deferred[_R]:
        """Run a blocking call in the thread, after those that were asked for before.

        Returns:
            A Deferred that fires in the reactor's thread with what the call returns or raises. It fails with
            `ServiceStopped` where the thread has ended.
        """
        if self._pool.joined:
            return fail(ServiceStopped(f"{self._name} was stopped"))

        def run() -> _R:
            self._since = monotonic()
            try:
                with speaking(self._speaker):
                    return function(*args, **kwargs)
            finally:
                self._since = None

        return deferToThreadPool(self._reactor, self._pool, run)

    @property
    def speaker(self) -> Speaker | None:
        """The role whose calls it runs; None where nobody said."""
        return self._speaker

    def end(self, function: Callable[[], object], interrupt: Callable[[], object]) -> Deferred[object]:
        """Run the last call, and do not wait for what runs before it longer than `GRACE_SECONDS`.

        Args:
            function: The call.
            interrupt: Ends what runs; called in a thread of its own.

        Returns:
            As for `call`.
        """
        timer = Timer(GRACE_SECONDS, interrupt)
        timer.daemon = True
        timer.start()
        called = self.call(function)

        def ended(result: object) -> object:
            timer.cancel()
            return result

        return called.addBoth(ended)

    def stop(self) -> None:
        """End the thread once its calls are done; waits for it. Nothing happens when it does not run."""
        if self._running:
            self._running = False
            self._pool.stop()

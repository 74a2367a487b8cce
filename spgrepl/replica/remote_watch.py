"""Whether the server that keeps a copy is still there, while nothing is applied to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.base.beat import Beat
from spgrepl.base.worker import EngineWorker
from spgrepl.errors import ServiceStopped
from spgrepl.interfaces.engine import IRemote

REMOTE_INTERVAL = 1.0
"""Seconds between two looks."""


class RemoteWatch:
    """Looks once a second at the connection to a copy that another process keeps; at other copies never.

    A session that was ended, or a server that was stopped, would else be noticed by the next row, however late
    that comes.

    Args:
        reactor: The reactor.
        worker: The thread in which the copy is used; while it works, there is nothing to look for.
        copy: The engine or target.
        lost: Called with the failure when the connection is lost.
    """

    def __init__(
        self, reactor: Any, worker: EngineWorker, copy: object, lost: Callable[[Failure], object]
    ) -> None:
        self._worker = worker
        self._copy = IRemote(copy, None)
        self._lost = lost
        self._looking: Deferred[None] | None = None
        self._beat = Beat(reactor, self._look, REMOTE_INTERVAL)

    def start(self) -> None:
        """Look from now on."""
        if self._copy is not None:
            self._beat.start()

    def stop(self) -> None:
        """Look no more; what is found from now on is told to nobody."""
        self._beat.stop()

    def _look(self) -> None:
        assert self._copy is not None
        if self._looking is None and not self._worker.busy_seconds:
            self._looking = self._worker.call(self._copy.look)
            self._looking.addBoth(self._looked)

    def _looked(self, result: Failure | None) -> None:
        self._looking = None
        if isinstance(result, Failure) and self._beat.running and result.check(ServiceStopped) is None:
            self._lost(result)

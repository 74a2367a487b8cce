"""A Twisted service that opens and closes over time, may fail, and tells whoever wants to know."""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from spgrepl.base.life_cycle import LifeCycle
from spgrepl.errors import SpgReplError


class LivingService(Service, ABC):
    """A service with a life cycle: it may be started and stopped in any order, and as often as one likes.

    A start while it is still being stopped takes effect after that. An error that makes it impossible to go on is
    told by `finished` and `when_ready`; where nobody listens, it is logged.

    Args:
        name: The service, for logs and errors.
    """

    def __init__(self, name: str) -> None:
        self._life = LifeCycle(name, self._open, self._close_all)

    @abstractmethod
    def _open(self) -> Deferred[object]:
        """Open everything; see `LifeCycle`."""

    @abstractmethod
    def _close_all(self) -> Deferred[None]:
        """Close everything that is open; see `LifeCycle`."""

    @property
    def finished(self) -> Deferred[None]:
        """A Deferred, a new one at each access, that fires when the service has come to its end.

        It fires with None after a stop that was asked for, and fails with the `SpgReplError` for which it is
        impossible to go on. After a run it tells of that one, until the next begins.
        """
        return self._life.when_finished()

    def when_ready(self) -> Deferred[None]:
        """Wait until everything is open.

        Returns:
            A Deferred that fires when everything is open, at once where it is. It fails with the `SpgReplError`
            for which that did not come about, or with `ServiceStopped`. Before a start it waits for that.
        """
        return self._life.when_ready()

    def startService(self) -> None:
        """Open everything; `when_ready` tells when that is done."""
        Service.startService(self)
        self._life.start()

    def _fail_with(self, error: SpgReplError) -> None:
        """Close everything, because it is impossible to go on."""
        self._life.fail(error)

    def stopService(self) -> Deferred[None]:
        """Close everything.

        Returns:
            A Deferred that fires when everything is closed.
        """
        Service.stopService(self)
        return self._life.stop()

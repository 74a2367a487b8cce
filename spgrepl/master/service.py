"""The master as a Twisted service."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.errors import ConfigurationError, ServiceStopped
from spgrepl.master.feed import LogFeed
from spgrepl.master.hub import MasterHub
from spgrepl.master.limits import MasterLimits
from spgrepl.master.protocol import MasterFactory, format_address
from spgrepl.master.publisher import Publisher, PublisherSettings
from spgrepl.master.reading import RunInThread, thread_runner
from spgrepl.master.segments import SegmentFolder, SegmentRegistry
from spgrepl.master.snapshot import SnapshotStore
from spgrepl.master.sources import ISnapshotSource
from spgrepl.master.spool import SpoolFolder
from spgrepl.wal.source import ILogSource

DEFAULT_LIMITS = MasterLimits()


class MasterService(Service):
    """Serves a log and its snapshots to followers.

    The log source is not started or stopped here: whoever made it does that, before and after.

    Args:
        reactor: The reactor.
        endpoint: Where to listen.
        log: The log to serve.
        snapshots: Makes snapshots for followers that have nothing.
        limits: What peers are allowed.
        spool_folder: Where snapshots are written before they are sent; needs room for `limits.snapshots` of them.
        segments: Where the cold segments are; None serves none.
        publisher: What subscribers are served from; None serves none.
        in_thread: Runs blocking calls; by default in the reactor's thread pool.
        wall_clock: Tells the time of day in seconds since the epoch.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        log: ILogSource,
        snapshots: ISnapshotSource,
        *,
        limits: MasterLimits = DEFAULT_LIMITS,
        spool_folder: Path,
        segments: SegmentFolder | None = None,
        publisher: PublisherSettings | None = None,
        in_thread: RunInThread | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        run = in_thread if in_thread is not None else thread_runner(reactor)
        self._endpoint = endpoint
        self._feed = LogFeed(log, run, limits.cache_bytes)
        self._store = SnapshotStore(reactor, run, snapshots, SpoolFolder(spool_folder), log, limits)
        registry = None if segments is None else SegmentRegistry(reactor, run, segments, wall_clock)
        publishing = None if publisher is None else Publisher(reactor, log, run, publisher)
        self._hub = MasterHub(reactor, log, self._feed, self._store, limits, wall_clock, registry, publishing)
        self._listening: Deferred[None] | None = None
        self._waiting: list[Deferred[IListeningPort]] = []
        self._error: str | None = None
        self._tried = False
        self.port: IListeningPort | None = None

    @property
    def listening(self) -> Deferred[IListeningPort]:
        """A Deferred of the port, a new one at each access, which fires once connections are accepted.

        It fails with `ConfigurationError` when listening is impossible, and with `ServiceStopped` when the service
        is stopped before.
        """
        waiting: Deferred[IListeningPort] = Deferred()
        self._waiting.append(waiting)
        self._settle()
        return waiting

    def privilegedStartService(self) -> None:
        """Listen, while the process may still use ports below 1024."""
        Service.privilegedStartService(self)
        self._listen()

    def startService(self) -> None:
        """Listen, and serve what comes. That listening failed is told by `listening`, log and status."""
        if self.running:
            return
        Service.startService(self)
        self._hub.start()
        self._store.open()
        if not self._tried:
            self._listen()
        self._settle()

    def stopService(self) -> Deferred[None]:
        """Listen no more and close all connections.

        Returns:
            A Deferred that fires when the last connection is gone.
        """
        Service.stopService(self)
        self._tried = False
        self._tell(Failure(ServiceStopped("the master was stopped before it listened")))
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
        port, self.port = self.port, None
        ended: list[Deferred[Any]] = [self._hub.stop(), self._store.close()]
        if port is not None:
            ended.append(maybeDeferred(port.stopListening))
        self._feed.reset()
        return gatherResults(ended, consumeErrors=True).addCallbacks(lambda _: None, self._not_stopped)

    def status(self) -> dict[str, Any]:
        """The master's status, made of what JSON has.

        Returns:
            ``listening`` (address or None), ``error`` (why it does not listen, or None), ``connections``,
            ``accepted``, ``refused`` and ``dropped`` (counts by cause), ``peers`` (one dict a connection, with
            ``address``, ``version``, ``state``, ``start``, ``position``, ``lag_bytes``, ``segments`` and
            ``since``, and a subscriber's ``publications``, ``unknown_publications``, ``forwarded`` (records) and
            ``passed_over`` (bytes by reason)), ``snapshots`` (counts), ``publishing`` (None, or ``wal_level`` and
            ``pieces``), ``segments_served`` (None, or ``folder``, ``count``, ``missing``
            and ``error``) and ``wal`` (``path``, ``length``).
        """
        listening = None if self.port is None else format_address(self.port.getHost())
        return {"listening": listening, "error": self._error, **self._hub.status()}

    # -- listening ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._tried = True
        if self._listening is None and self.port is None:
            self._error = None
            self._listening = maybeDeferred(self._endpoint.listen, MasterFactory(self._hub)).addCallbacks(
                self._listens, self._does_not_listen
            )

    def _listens(self, port: IListeningPort) -> None:
        self._listening = None
        self.port = port
        self._log.info("serving followers at {address}", address=format_address(port.getHost()))
        self._settle()

    def _does_not_listen(self, failure: Failure) -> None:
        self._listening = None
        if failure.check(CancelledError):
            return
        self._error = (
            f"cannot listen for followers: {failure.getErrorMessage()}; choose another address with --listen"
        )
        self._log.critical("{error}", error=self._error)
        self._settle()

    def _settle(self) -> None:
        """Tell those who wait what became of listening.

        Not before the service runs: whoever is told may stop it, and `addService` would start it after that.
        """
        if not self.running:
            return
        if self.port is not None:
            self._tell(self.port)
        elif self._error is not None:
            self._tell(Failure(ConfigurationError(self._error)))

    def _tell(self, result: IListeningPort | Failure) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(result)

    def _not_stopped(self, failure: Failure) -> None:
        self._log.failure("the master did not stop cleanly", failure=failure)

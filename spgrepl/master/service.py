"""The master as a Twisted service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort, IStreamServerEndpoint
from twisted.python.failure import Failure

from spgrepl.access.descriptors import accept_few
from spgrepl.access.policy import Access
from spgrepl.access.tls_files import TlsFiles
from spgrepl.access.with_extra import server_tls
from spgrepl.base.observers import Barrier
from spgrepl.base.reading import thread_runner
from spgrepl.errors import ConfigurationError, ServiceStopped, SpgReplError
from spgrepl.master.hub import MasterHub
from spgrepl.master.judged.publisher import Publisher, PublisherSettings
from spgrepl.master.protocol import MasterFactory, format_address
from spgrepl.master.shared.feed import LogFeed
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.peers import PeerNames
from spgrepl.master.snapshots.snapshot import SnapshotStore
from spgrepl.master.snapshots.sources import LoggedDatabase
from spgrepl.master.snapshots.spool import SpoolFolder
from spgrepl.master.streams.context import MasterContext
from spgrepl.segments.outgoing import SegmentFolder, SegmentRegistry
from spgrepl.text.role_log import RoleLogger, Speaker, speak_for
from spgrepl.watch.status import Fault, ServiceStatus, to_json


@attrs.frozen
class Serving:
    """How a log is served, and to whom.

    Attributes:
        spool_folder: Where snapshots are written before they are sent; needs room for `limits.snapshots` of them.
        limits: What peers are allowed.
        segments: Where the cold segments are; None serves none.
        publisher: What subscribers are served from; None serves none.
        names: The names of configured peers.
        access: Who may connect.
        tls: The files of its TLS; None listens without.
    """

    spool_folder: Path
    limits: MasterLimits = attrs.Factory(MasterLimits)
    segments: SegmentFolder | None = None
    publisher: PublisherSettings | None = None
    names: PeerNames = attrs.Factory(PeerNames)
    access: Access = attrs.Factory(Access)
    tls: TlsFiles | None = None


class MasterService(Service):
    """Serves a log and its snapshots to followers.

    The log source is not started or stopped here: whoever made it does that, before and after.

    Args:
        reactor: The reactor.
        endpoint: Where to listen.
        database: The log to serve, and what makes snapshots for followers that have nothing.
        serving: How it is served, and to whom.

    Raises:
        UsageError: TLS needs packages that are not there, or a file is not what it should be.
    """

    _log = RoleLogger()

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamServerEndpoint,
        database: LoggedDatabase,
        serving: Serving,
    ) -> None:
        log, limits, run = database.log, serving.limits, thread_runner(reactor)
        self._endpoint = endpoint
        self._access = serving.access
        self._tls = None if serving.tls is None else server_tls(reactor, serving.tls)
        self._feed = LogFeed(log, run, limits.cache_bytes)
        self._store = SnapshotStore(reactor, run, database, SpoolFolder(serving.spool_folder), limits)
        segments, publisher = serving.segments, serving.publisher
        self._context = MasterContext(
            reactor,
            log,
            self._feed,
            self._store,
            limits,
            time.time,
            None if segments is None else SegmentRegistry(reactor, run, segments),
            None if publisher is None else Publisher(reactor, log, run, publisher),
            serving.access,
            serving.names,
        )
        self._hub = MasterHub(self._context)
        self._listening: Deferred[None] | None = None
        self._waiting: Barrier[IListeningPort] = Barrier()
        self._error: str | None = None
        self._given_up: Failure | None = None
        self._tried = False
        self.port: IListeningPort | None = None

    @property
    def _speaker(self) -> Speaker | None:
        """Whose lines those of the log are; None while nobody said."""
        return self._context.speaker

    @_speaker.setter
    def _speaker(self, speaker: Speaker | None) -> None:
        self._context.speaker = speaker
        speak_for(speaker, self._store, self._store.spool, self._context.segments, self._context.connections)

    @property
    def listening(self) -> Deferred[IListeningPort]:
        """A Deferred of the port, a new one at each access, which fires once connections are accepted.

        It fails with `ConfigurationError` when listening is impossible, with `ServiceStopped` when the service is
        stopped before, and with what `give_up` was told.
        """
        waiting = self._waiting.wait()
        self._answer_waiting()
        return waiting

    @property
    def address(self) -> IAddress | None:
        """Where connections are accepted, with the port that the system chose for port 0; None while nowhere."""
        return None if self.port is None else self.port.getHost()

    def give_up(self, error: SpgReplError) -> None:
        """Tell those who wait for `listening` that it does not come about before the next start, and why."""
        self._given_up = Failure(error)
        self._answer_waiting()

    def privilegedStartService(self) -> None:
        """Listen, while the process may still use ports below 1024."""
        Service.privilegedStartService(self)
        self._listen()

    def startService(self) -> None:
        """Listen, and serve what comes. That listening failed is told by `listening`, log and status."""
        if self.running:
            return
        Service.startService(self)
        self._given_up = None
        self._hub.start()
        self._store.open()
        if not self._tried:
            self._listen()
        self._answer_waiting()

    def stopService(self) -> Deferred[None]:
        """Listen no more and close all connections.

        Returns:
            A Deferred that fires when the last connection is gone.
        """
        Service.stopService(self)
        self._tried = False
        self._waiting.open(Failure(ServiceStopped("the master was stopped before it listened")))
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
        port, self.port = self.port, None
        ended: list[Deferred[Any]] = [self._hub.stop(), self._store.close()]
        if port is not None:
            ended.append(maybeDeferred(port.stopListening))
        self._feed.reset()
        return gatherResults(ended, consumeErrors=True).addCallbacks(lambda _: None, self._not_stopped)

    def describe(self) -> ServiceStatus:
        """What the status says of this service."""
        return ServiceStatus(
            attrs.evolve(
                self._hub.describe(),
                listening=None if self.port is None else format_address(self.port.getHost()),
                tls=None if self._tls is None else self._tls.status(),
            ),
            self._hub.status_seconds,
            Fault(self._error, None if self._error is None else "listening"),
        )

    def status(self) -> dict[str, Any]:
        """The same as plain values, for JSON; docs/operating.md explains each."""
        told: dict[str, Any] = to_json(self.describe())
        return told

    # -- listening ------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._tried = True
        if self._listening is None and self.port is None:
            self._error = None
            factory = MasterFactory(self._context)
            served = factory if self._tls is None else self._tls.wrap(factory)
            listening: Deferred[Any] = maybeDeferred(self._endpoint.listen, served)
            self._listening = listening.addCallback(self._judge_port)
            self._listening.addCallbacks(self._listens, self._does_not_listen)

    def _judge_port(self, port: IListeningPort) -> Any:
        """Close a port again that other machines can reach and nothing guards; only now is it known for sure."""
        try:
            self._access.check_port(port.getHost(), self._tls is not None and self._tls.requires_client)
        except ConfigurationError as error:
            refused = error
            return maybeDeferred(port.stopListening).addBoth(lambda _: Failure(refused))
        return port

    def _listens(self, port: IListeningPort) -> None:
        self._listening = None
        self.port = port
        accept_few(port)
        self._log.info("serving followers at {address}", address=format_address(port.getHost()))
        self._answer_waiting()

    def _does_not_listen(self, failure: Failure) -> None:
        self._listening = None
        if failure.check(CancelledError):
            return
        reason = failure.getErrorMessage().rstrip(".")
        self._error = f"cannot listen for followers: {reason}; choose another address with --listen"
        self._log.critical("{reason}", reason=self._error)
        self._answer_waiting()

    def _answer_waiting(self) -> None:
        """Tell those who wait what became of listening.

        Not before the service runs: whoever is told may stop it, and `addService` would start it after that.
        """
        if self._given_up is not None:
            self._waiting.open(self._given_up)
        elif not self.running:
            return
        elif self.port is not None:
            self._waiting.open(self.port)
        elif self._error is not None:
            self._waiting.open(Failure(ConfigurationError(self._error)))

    def _not_stopped(self, failure: Failure) -> None:
        self._log.failure("the master did not stop cleanly", failure=failure)

"""What the subscribers of a master share: the judged log, the publications, and whether they are served at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IReactorTime

from spgrepl.base.histories import History
from spgrepl.base.observers import Shared
from spgrepl.base.reading import RunInThread
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.learned import LogCatalogue
from spgrepl.catalogue.sources import ICatalogSource
from spgrepl.errors import ConnectionRefused
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.source import ILogSource
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, TransactionChoices
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.master.judged.judged_feed import Judging, RecordFeed


@attrs.frozen
class PublisherSettings:
    """What a master needs to serve subscribers.

    Attributes:
        catalog: Tells the publications.
        cluster_id: Reads the cluster id; blocking, called in a thread.
        level: The WAL level: subscribers are served while it is `logical`.
        strict: Whether to turn those away who ask for an unknown publication.
        max_record: The most bytes of SQL or payload that a record may have.
        transactions: What is done about transactions that the log cannot tell.
    """

    catalog: ICatalogSource
    cluster_id: Callable[[], int]
    level: WalLevel
    strict: bool = False
    max_record: int = DEFAULT_MAX_RECORD
    transactions: TransactionChoices = DEFAULT_CHOICES


@attrs.frozen
class Catalogue:
    """What a subscriber's handshake needs to know.

    Attributes:
        publications: The publications.
        position: The position between two units that they stand at.
        cluster_id: The master's cluster id.
        rows_from: From which position on the log holds rows; None where it holds statements.
        origin: The id of the cluster where rows originated that state no origin.
        histories: Whose positions the log's are, as far as that is known.
        of_spg: Whether the log is an SPG server's, which holds statements whatever a client writes into it.
    """

    publications: Publications
    position: int
    cluster_id: int
    rows_from: int | None
    origin: int
    histories: tuple[History, ...] = ()
    of_spg: bool = False


class Publisher:
    """Serves the subscribers of one log.

    Args:
        clock: The reactor, or a clock.
        log: The log.
        in_thread: Runs what has to wait for a disk.
        settings: What is served.
    """

    def __init__(
        self, clock: IReactorTime, log: ILogSource, in_thread: RunInThread, settings: PublisherSettings
    ) -> None:
        self.records = RecordFeed(
            clock,
            log,
            in_thread,
            Judging(settings.max_record, settings.transactions),
            settings.catalog.dropped,
        )
        self.strict = settings.strict
        self._in_thread = in_thread
        self._settings = settings
        self._cluster_id: int | None = None
        self._catalogue: Shared[Catalogue] = Shared(self._load)
        self._lowered: Callable[[], None] = lambda: None

    @property
    def is_open(self) -> bool:
        """Whether subscribers are served."""
        return self._settings.level.is_logical

    def start(self, lowered: Callable[[], None]) -> None:
        """Begin; `lowered` is called when subscribers are not served any more."""
        self._lowered = lowered
        self._settings.level.add_listener(self._level_changed)

    def stop(self) -> None:
        """End."""
        self._settings.level.remove_listener(self._level_changed)
        self._settings.catalog.close()
        self.reset()

    def _level_changed(self, level: Level) -> None:
        if level is not Level.LOGICAL:
            self._lowered()

    def status(self) -> dict[str, Any]:
        """What the status says of publishing: ``wal_level``, and ``pieces`` (of the log, cut and judged)."""
        return {"wal_level": self._settings.level.value.value, "pieces": self.records.built}

    def look_up(self) -> Deferred[Catalogue]:
        """Look the publications up as they are now, once for all who ask meanwhile.

        Returns:
            A Deferred of the catalogue, which fails with a `SpgReplError` or `OSError` where it cannot be known.
        """
        return self._catalogue.ask()

    @inlineCallbacks
    def _load(self) -> Any:
        if self._cluster_id is None:
            self._cluster_id = yield self._in_thread(self._settings.cluster_id)
        found: LogCatalogue = yield self._settings.catalog.load()
        origin = self._cluster_id if found.origin is None else found.origin
        return Catalogue(
            found.publications,
            found.position,
            self._cluster_id,
            found.rows_from,
            origin,
            found.histories,
            found.of_spg,
        )

    def reset(self) -> None:
        """The log is lost, or serving ends."""
        self.records.reset()


def level_is_replica() -> ConnectionRefused:
    """Why a subscriber is turned away by a master that serves followers only."""
    return ConnectionRefused(
        "a subscriber (SPGSUB) is served at the WAL level logical only, and it is replica: start the master with "
        "--wal-level logical, or run SET effective_wal_level = 'logical'"
    )

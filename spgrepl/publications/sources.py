"""Where a master learns the publications from: its database, or where there is none that it can read, the log."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import Logger
from zope.interface import Interface, implementer

from spgrepl.engines import sqlite_state
from spgrepl.errors import ConfigurationError, LogTruncated, SnapshotError
from spgrepl.manifest import read_manifest
from spgrepl.master.reading import RunInThread
from spgrepl.publications.changes import CatalogWalk
from spgrepl.publications.definitions import Publications
from spgrepl.publications.envelope import read_envelope
from spgrepl.publications.stored import read_publications
from spgrepl.wal.parser import RecordParser
from spgrepl.wal.records import DEFAULT_MAX_RECORD
from spgrepl.wal.source import ILogListener, ILogSource

BUSY_SECONDS = 10.0

WALK_FROM = 64 * 1024 * 1024
"""With so many bytes of a log unread, they are read before somebody asks."""

_BLOCK = 256 * 1024


class ICatalogSource(Interface):
    """Tells the publications that a log and its database hold."""

    def load() -> Deferred[tuple[Publications, int]]:
        """Look the publications up as they are now.

        Returns:
            A Deferred of the publications and of the position in the log that they stand at: one between two
            units (outside any transaction), not behind the log's whole records, and close to its end. It fails
            with a `SpgReplError` where they cannot be known.
        """


@implementer(ICatalogSource)
class SqliteCatalogSource:
    """Reads the catalogue of a SQLite database, a primary's or a follower's copy, together with its position.

    Args:
        database: The database.
        in_thread: Runs the reading.
    """

    def __init__(self, database: Path, in_thread: RunInThread) -> None:
        self._database = database
        self._in_thread = in_thread

    def load(self) -> Deferred[tuple[Publications, int]]:
        """See `ICatalogSource`."""
        return self._in_thread(partial(read_catalogue, self._database))


def read_catalogue(database: Path) -> tuple[Publications, int]:
    """Read the publications in a SQLite database, and the position in its log that they stand at. Blocking.

    Raises:
        ConfigurationError: There is no such database, or it is none of a primary or follower.
        LocalFilesDamaged: Its catalogue is damaged.
        SnapshotError: It cannot be read.
    """
    if not database.exists():
        raise ConfigurationError(f"there is no database {database} yet")
    uri = f"{database.absolute().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN")
            stored = sqlite_state.read_state(connection)
            publications = attrs.evolve(read_publications(connection), any_case=True)
    except sqlite3.Error as error:
        raise SnapshotError(f"the publications in {database} cannot be read: {error}") from error
    if stored is None:
        raise ConfigurationError(f"{database} has no replication state yet")
    return publications, stored.replay.position - stored.replay.base


@implementer(ICatalogSource, ILogListener)
class LogCatalogSource:
    """Learns the publications from a log itself, and from an SPG snapshot that the log goes on behind.

    The log is read once, in a thread; what has been learned is kept, and only what grew behind it is read again.

    Args:
        log: The log.
        snapshot: The snapshot file; one that is no SPG envelope, or missing, tells nothing.
        manifest: The manifest, whose WAL baseline says where the snapshot stands; None for the log's start.
        in_thread: Runs the reading.
        max_record: The most bytes of SQL or payload that a record may have.
        wanted: Whether somebody may ask soon, so that a long log is read before.
    """

    _log = Logger()

    def __init__(
        self,
        log: ILogSource,
        snapshot: Path,
        manifest: Path | None,
        in_thread: RunInThread,
        max_record: int = DEFAULT_MAX_RECORD,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._wal = log
        self._snapshot = snapshot
        self._manifest = manifest
        self._in_thread = in_thread
        self._max_record = max_record
        self._wanted = wanted
        self._known: tuple[Publications, int] | None = None
        self._loading: list[Deferred[tuple[Publications, int]]] = []
        log.add_listener(self)

    def log_grew(self, length: int) -> None:
        """See `ILogListener`."""
        known = 0 if self._known is None else self._known[1]
        if length - known >= WALK_FROM and not self._loading and self._wanted():
            self.load().addErrback(
                lambda failure: self._log.error(
                    "the publications cannot be learned from the log: {error}", error=failure.value
                )
            )

    def log_lost(self, reason: LogTruncated) -> None:
        """See `ILogListener`."""
        self._known = None

    def load(self) -> Deferred[tuple[Publications, int]]:
        """See `ICatalogSource`."""
        asked: Deferred[tuple[Publications, int]] = Deferred()
        self._loading.append(asked)
        if len(self._loading) == 1:
            self._load().addBoth(self._tell)
        return asked

    @inlineCallbacks
    def _load(self) -> Any:
        length = self._wal.length
        known: tuple[Publications, int] = self._known or (yield self._in_thread(self._begin))
        if known[1] < length:
            handle = os.dup(self._wal.fileno())
            read = self._in_thread(partial(_learn, handle, known, length, self._max_record))
            known = yield read.addBoth(_closing(handle))
        if self._wal.length >= length:
            self._known = known
        return known

    def _begin(self) -> tuple[Publications, int]:
        manifest = None if self._manifest is None else read_manifest(self._manifest)
        return read_envelope(self._snapshot), 0 if manifest is None else manifest.wal_baseline

    def _tell(self, result: Any) -> None:
        loading, self._loading = self._loading, []
        for asked in loading:
            asked.callback(result)


def _closing(handle: int) -> Callable[[Any], Any]:
    def close(result: Any) -> Any:
        os.close(handle)
        return result

    return close


def _learn(handle: int, known: tuple[Publications, int], stop: int, max_record: int) -> tuple[Publications, int]:
    """Read a log from a position between two units on, in a thread.

    Raises:
        RecordError: A record is broken.
    """
    at = known[1]
    parser, walk = RecordParser(at, max_record), CatalogWalk(*known)
    while at < stop:
        data = os.pread(handle, min(_BLOCK, stop - at), at)
        if not data:
            break
        at += len(data)
        parser.feed(data)
        while (batch := parser.next_batch()) is not None:
            walk.walk(batch)
    return walk.publications, walk.boundary

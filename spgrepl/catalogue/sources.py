"""Where a master learns the publications from: its database, or where there is none that it can read, the log."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import attrs
from twisted.internet.defer import Deferred, inlineCallbacks
from zope.interface import Attribute, Interface, implementer

from spgrepl.base.observers import Shared
from spgrepl.base.reading import RunInThread
from spgrepl.catalogue.catalogue_tables import has_table
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.learned import Learned, LearnedFile, LogCatalogue, learn
from spgrepl.catalogue.statements import CreatePublication, Scope
from spgrepl.catalogue.stored import read_publications
from spgrepl.errors import ConfigurationError, LogTruncated, SnapshotError
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.log.transactions.groups import Judge, refuse
from spgrepl.segments.manifest import read_manifest
from spgrepl.spg import envelope
from spgrepl.spg.snapshot import MAGICS
from spgrepl.spg.to_sqlite import COLUMNS_TABLE
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.database_copy import SQLITE_MAGIC
from spgrepl.sqlite.row_mark import origin_of_rows, rows_begin
from spgrepl.sqlite.session import Patience, plain_connection
from spgrepl.sqlite.snapshot_histories import histories_in
from spgrepl.text.role_log import RoleLogger

BUSY_SECONDS = 10.0

WALK_FROM = 64 * 1024 * 1024
"""With so many bytes of a log unread, they are read before somebody asks."""

SAVE_EVERY = 1024 * 1024
"""What is known is kept in its file again when it has grown by so many bytes of the log."""


class ICatalogSource(Interface):
    """Tells the publications that a log and its database hold, and what kind of records."""

    def load() -> Deferred[LogCatalogue]:
        """Look the publications up as they are now.

        Returns:
            A Deferred of them. Their position in the log is one between two units (outside any transaction), not
            after the log's whole records, and close to its end. It fails with a `SpgReplError` where they cannot
            be known.
        """

    dropped = Attribute(
        "Transactions that were taken for dead: a dict of where they begin, and where the log goes on without "
        "them. Whoever serves the log adds to it."
    )

    def close() -> None:
        """Nobody asks any more: keep what is to be kept."""


@implementer(ICatalogSource)
class SqliteCatalogSource:
    """Reads the catalogue of a SQLite database, a primary's or a follower's copy, together with its position.

    Args:
        database: The database.
        in_thread: Runs the reading.
        patience: Waits for locks; None for one of its own.
    """

    def __init__(self, database: Path, in_thread: RunInThread, patience: Patience | None = None) -> None:
        self._database = database
        self._in_thread = in_thread
        self._patience = patience
        self.dropped: dict[int, int] = {}

    def close(self) -> None:
        """See `ICatalogSource`."""

    def load(self) -> Deferred[LogCatalogue]:
        """See `ICatalogSource`."""
        return self._in_thread(partial(read_catalogue, self._database, self._patience))


def read_catalogue(database: Path, patience: Patience | None = None) -> LogCatalogue:
    """Read the publications in a SQLite database, and the position in its log that they stand at. Blocking.

    Args:
        database: The database.
        patience: Waits for locks; None for one of its own.

    Raises:
        ConfigurationError: There is no such database, or it is none of a primary or follower.
        LocalFilesDamaged: Its catalogue is damaged.
        SnapshotError: It cannot be read.
    """
    if not database.exists():
        raise ConfigurationError(f"there is no database {database} yet")
    try:
        with contextlib.closing(plain_connection(database, patience, read_only=True)) as connection:
            connection.execute("BEGIN")
            stored = sqlite_state.read_state(connection)
            publications = attrs.evolve(read_publications(connection), any_case=True)
            rows_from, origin = rows_begin(connection), origin_of_rows(connection)
            of_spg = rows_from is None and has_table(connection, COLUMNS_TABLE)
    except apsw.Error as error:
        raise SnapshotError(f"the publications in {database} cannot be read: {error}") from error
    if stored is None:
        raise ConfigurationError(f"{database} has no replication state yet")
    base = stored.replay.base
    rows_from = None if rows_from is None else max(0, rows_from - base)
    # What is held of transactions that are open has not happened yet.
    opened_by = stored.replay.notes.opened_by
    position = stored.replay.position if opened_by is None else opened_by
    return LogCatalogue(publications, position - base, rows_from, origin, stored.served, of_spg)


@attrs.frozen
class ReadLog:
    """A log that publications are learned from, and the snapshot that it goes on after.

    Attributes:
        log: The log.
        snapshot: The snapshot file; one that is not an SPG envelope, or missing, tells nothing.
        manifest: The manifest, whose WAL baseline says where the snapshot stands; None for the log's start.
    """

    log: ILogSource
    snapshot: Path
    manifest: Path | None


@attrs.frozen
class Learning:
    """How publications are learned from a log.

    Attributes:
        max_record: The most bytes of SQL or payload that a record may have.
        wanted: Whether somebody may ask soon, so that a long log is read before.
        kept: The file for what is learned; None for none.
        judge: Says what becomes of transactions that end in different ways, where publications change in them.
    """

    max_record: int = DEFAULT_MAX_RECORD
    wanted: Callable[[], bool] = lambda: True
    kept: Path | None = None
    judge: Judge = refuse


DEFAULT_LEARNING = Learning()


@implementer(ICatalogSource, ILogListener)
class LogCatalogSource:
    """Learns the publications from a log itself, and from an SPG snapshot that the log goes on after.

    The log is read once, in a thread; what has been learned is kept, in a file too where one is named, and only
    what grew after it is read again.

    Args:
        read: What is read.
        in_thread: Runs the reading.
        learning: How it is read, and where what is learned is kept.
    """

    _log = RoleLogger()

    def __init__(
        self,
        read: ReadLog,
        in_thread: RunInThread,
        learning: Learning = DEFAULT_LEARNING,
    ) -> None:
        self._wal = read.log
        self._snapshot = read.snapshot
        self._manifest = read.manifest
        self._in_thread = in_thread
        self._max_record = learning.max_record
        self._wanted = learning.wanted
        self._file = None if learning.kept is None else LearnedFile(learning.kept, read.snapshot)
        self._judge = learning.judge
        self._known: Learned | None = None
        self._base = 0
        self._saved: tuple[int, int] = (0, 0)
        self._loading: Shared[LogCatalogue] = Shared(self._load)
        self.dropped: dict[int, int] = {}
        read.log.add_listener(self)

    def log_grew(self, length: int) -> None:
        """See `ILogListener`."""
        known = 0 if self._known is None else self._known.end
        if length - known >= WALK_FROM and not self._loading.busy and self._wanted():
            self.load().addErrback(
                lambda failure: self._log.error(
                    "the publications cannot be learned from the log: {error}", error=failure.value
                )
            )

    def log_lost(self, reason: LogTruncated) -> None:
        """See `ILogListener`."""
        self._known = None
        self.dropped.clear()

    def load(self) -> Deferred[LogCatalogue]:
        """See `ICatalogSource`."""
        return self._loading.ask()

    @inlineCallbacks
    def _load(self) -> Any:
        length = self._wal.length
        handle = os.dup(self._wal.fileno())
        try:
            known: Learned = self._known or (yield self._in_thread(partial(self._begin, handle, length)))
            if known.end < length:
                dropped = dict(self.dropped)
                read = partial(learn, handle, known, length, self._max_record, self._judge, dropped)
                known = yield self._in_thread(read)
            if self._wal.length >= length:
                self._known = known
                if known.end - self._saved[0] >= SAVE_EVERY or len(self.dropped) != self._saved[1]:
                    yield self._in_thread(partial(self._save, handle, known, dict(self.dropped)))
        finally:
            os.close(handle)
        return known.catalogue

    def close(self) -> None:
        """See `ICatalogSource`."""
        known = self._known
        if known is None or self._file is None or (known.end, len(self.dropped)) == self._saved:
            return
        if self._wal.length >= known.end:
            handle = os.dup(self._wal.fileno())
            self._in_thread(partial(self._save, handle, known, dict(self.dropped))).addBoth(
                _closing(handle)
            ).addErrback(lambda failure: self._log.failure("keeping what was learned of the log", failure))

    # -- in a thread ------------------------------------------------------------------------------------------

    def _begin(self, handle: int, length: int) -> Learned:
        manifest = None if self._manifest is None else read_manifest(self._manifest)
        self._base = 0 if manifest is None else manifest.wal_baseline
        found = None if self._file is None else self._file.load(handle, length, self._base)
        if found is not None:
            known, dropped = found
            self.dropped.update(dropped)
            self._saved = (known.end, len(self.dropped))
            return known
        return Learned(catalogue_in(self._snapshot, self._base), self._base)

    def _save(self, handle: int, known: Learned, dropped: dict[int, int]) -> None:
        if self._file is None:
            return
        self._saved = (known.end, len(dropped))
        try:
            if self._file.save(handle, known, self._base, dropped):
                return
            error: object = "it is there, and is not one of these: move it away"
        except OSError as failed:
            error = failed
        self._log.error(
            "{path} cannot be written, so a restart reads the whole log: {error}",
            path=self._file.path,
            error=error,
        )


_SCOPES = {
    envelope.ALL_TABLES: Scope.ALL,
    envelope.THESE_TABLES: Scope.ONLY,
    envelope.ALL_BUT_THESE: Scope.EXCEPT,
}


def catalogue_in(snapshot: Path, position: int) -> LogCatalogue:
    """Read what a snapshot says, of an SPG server or of a master of this package. Blocking.

    Args:
        snapshot: The file.
        position: Where the log goes on after it.

    Raises:
        SpgFileError: It is an envelope, and damaged or of a version that is not known.
        SnapshotError: It is a SQLite database, and cannot be read.
        OSError: It cannot be read.
    """
    if not _begins_with(snapshot, SQLITE_MAGIC):
        of_spg = _begins_with(snapshot, *MAGICS)
        return LogCatalogue(publications_in(snapshot), position, of_spg=of_spg)
    try:
        with contextlib.closing(plain_connection(snapshot, immutable=True)) as connection:
            publications = attrs.evolve(read_publications(connection), any_case=True)
            rows_from, origin = rows_begin(connection), origin_of_rows(connection)
            of_spg = rows_from is None and has_table(connection, COLUMNS_TABLE)
    except apsw.Error as error:
        raise SnapshotError(f"the publications in {snapshot} cannot be read: {error}") from error
    # Its own position is that of another log where the snapshot came over the wire.
    rows_from = None if rows_from is None else min(rows_from, position)
    return LogCatalogue(publications, position, rows_from, origin, histories_in(snapshot, position), of_spg)


def _begins_with(path: Path, *magics: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(SQLITE_MAGIC)).startswith(magics)
    except FileNotFoundError:
        return False


def publications_in(snapshot: Path) -> Publications:
    """Read the publications in an SPG snapshot; none where it is missing, or not an SPG envelope. Blocking.

    Raises:
        SpgFileError: It is an envelope, and damaged or of a version that is not known.
        OSError: It cannot be read.
    """
    return publications_of(envelope.read_publications(snapshot))


def publications_of(stored: Iterable[envelope.StoredPublication]) -> Publications:
    """The publications that an SPG snapshot holds."""
    return Publications({one.name: CreatePublication(one.name, _SCOPES[one.scope], one.tables) for one in stored})


def _closing(handle: int) -> Callable[[Any], Any]:
    def close(result: Any) -> Any:
        os.close(handle)
        return result

    return close

"""The cold segments that a master serves: which there are, and that there are new ones."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from spgrepl.beat import Beat
from spgrepl.errors import ManifestError
from spgrepl.manifest import read_manifest
from spgrepl.master.reading import RunInThread
from spgrepl.master.segment_cursor import SegmentCursor
from spgrepl.segment_format import segment_id_of
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK

LOOK_INTERVAL = 0.5
"""Seconds between two looks whether folder or manifest have changed."""

_COARSE_CLOCK = 2.0


@attrs.frozen
class SegmentFolder:
    """Where segments are.

    Attributes:
        folder: The folder of their files.
        manifest: The manifest that registers them; it may be missing.
        by_name: Whether files named ``seg_<id>.spg`` are served where there is no manifest.
        chunk: At how many bytes files are cut, 16 MiB at most.
    """

    folder: Path
    manifest: Path
    by_name: bool = True
    chunk: int = DEFAULT_CHUNK

    @classmethod
    def of(cls, folder: Path, by_name: bool = True, chunk: int = DEFAULT_CHUNK) -> SegmentFolder:
        """The segments in a folder; their manifest stands beside it, as ``manifest.v10``."""
        return cls(folder, folder.parent / "manifest.v10", by_name, chunk)


@attrs.frozen
class SegmentFile:
    """A segment as it was found; one that was replaced is another.

    Attributes:
        id: Its id.
        path: Its file.
        version: Tells it from others with the same id: the CRC-32 that the manifest states, or length and time.
    """

    id: int
    path: Path
    version: tuple[int, ...]


@attrs.frozen
class _Listing:
    """What a look into the folder brought.

    Attributes:
        files: The segments that can be served, in rising id.
        missing: The ids of those that are registered and have no file.
        unsettled: Whether some were passed over because they are still being written.
        error: Why the manifest cannot be read.
    """

    files: tuple[SegmentFile, ...] = ()
    missing: tuple[int, ...] = ()
    unsettled: bool = False
    error: str | None = None


class SegmentRegistry:
    """Knows the segments in a folder, and notices new ones.

    Args:
        clock: The reactor, or a clock.
        in_thread: Runs what could wait for a disk.
        where: The folder.
        wall_clock: Tells the time of day in seconds since the epoch.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: RunInThread,
        where: SegmentFolder,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._in_thread = in_thread
        self._where = where
        self._wall_clock = wall_clock
        self._listing = _Listing()
        self._seen: dict[int, tuple[int, ...]] | None = None
        self._marks: object = None
        self._look_again = True
        self._waiting: list[Deferred[None]] = []
        self._changed: Callable[[], None] = lambda: None
        self._beat = Beat(clock, self._look, LOOK_INTERVAL)
        self.version = 0

    @property
    def files(self) -> tuple[SegmentFile, ...]:
        """The segments that can be served, in rising id."""
        return self._listing.files

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to look for new segments; `changed` is called when there are some."""
        self._changed = changed
        self._beat.start()

    def stop(self) -> None:
        """Look no more."""
        self._beat.stop()
        self._changed = lambda: None

    def cursor(self) -> SegmentCursor:
        """What a new connection sends: all segments, and then those that appear."""
        return SegmentCursor(self, self._in_thread, self._where.chunk)

    def refresh(self) -> Deferred[None]:
        """Look into the folder now, in a thread; the Deferred fires when `files` is up to date."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._scan()
        return waiter

    def status(self) -> dict[str, Any]:
        """What the status says of the segments."""
        return {
            "folder": str(self._where.folder),
            "count": len(self._listing.files),
            "missing": list(self._listing.missing),
            "error": self._listing.error,
        }

    # -- looking --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Scan where folder or manifest have changed, which two calls tell that do not wait for a disk."""
        if self._waiting or not (self._look_again or self._marks != self._read_marks()):
            return
        self.refresh().addErrback(self._fault)

    def _read_marks(self) -> tuple[int | None, ...]:
        return _time_of(self._where.folder), _time_of(self._where.manifest)

    def _scan(self) -> None:
        marks = self._read_marks()
        now = self._wall_clock()
        # Names that change within one tick of the file system's clock do not change the folder's time.
        young = any(mark is not None and now - mark / 1e9 < _COARSE_CLOCK for mark in marks)
        self._marks = marks
        scanning = self._in_thread(partial(_list, self._where, self._seen))
        scanning.addCallbacks(self._scanned, self._not_scanned, callbackArgs=(young,)).addErrback(self._fault)

    def _scanned(self, found: tuple[_Listing, dict[int, tuple[int, ...]]], young: bool) -> None:
        listing, self._seen = found
        self._look_again = young or listing.unsettled
        before, self._listing = self._listing, listing
        if listing.error is not None and listing.error != before.error:
            self._log.error("the cold segments cannot be listed: {error}", error=listing.error)
        if listing.missing and listing.missing != before.missing:
            self._log.error(
                "segments {ids} are registered in {manifest} and have no file in {folder}; they are not served",
                ids=", ".join(map(str, listing.missing)),
                manifest=self._where.manifest,
                folder=self._where.folder,
            )
        changed = listing.files != before.files
        self.version += changed
        self._tell(None)
        if changed:
            self._changed()

    def _not_scanned(self, failure: Failure) -> None:
        self._look_again = True
        self._tell(failure)

    def _tell(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(result)

    def _fault(self, failure: Failure) -> None:
        self._log.failure("looking for cold segments failed", failure=failure)


def _time_of(path: Path) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _list(
    where: SegmentFolder, seen: dict[int, tuple[int, ...]] | None
) -> tuple[_Listing, dict[int, tuple[int, ...]]]:
    """List the segments, by the manifest or by name; runs in a thread.

    Args:
        where: The folder.
        seen: Length and time of the files that were found by name the last time; None the first time.
    """
    try:
        manifest = read_manifest(where.manifest)
    except ManifestError as error:
        return _Listing(error=str(error)), seen or {}
    if manifest is not None:
        # A manifest's writer may name files by paths of its own machine: only their names mean something here.
        named = [(one.id, where.folder / PurePosixPath(one.path).name, one.crc) for one in manifest.segments]
        files = tuple(SegmentFile(number, path, (crc,)) for number, path, crc in named if path.is_file())
        there = {file.id for file in files}
        return _Listing(files, tuple(number for number, _, _ in named if number not in there)), seen or {}
    try:
        found = _list_by_name(where.folder) if where.by_name else {}
    except OSError as error:
        return _Listing(error=f"{where.folder} cannot be read: {error}"), seen or {}
    settled = tuple(
        SegmentFile(number, path, version)
        for number, (path, version) in sorted(found.items())
        if seen is None or seen.get(number) == version
    )
    versions = {number: version for number, (_, version) in found.items()}
    return _Listing(settled, unsettled=len(settled) < len(found)), versions


def _list_by_name(folder: Path) -> dict[int, tuple[Path, tuple[int, ...]]]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[int, tuple[Path, tuple[int, ...]]] = {}
    for entry in entries:
        number = segment_id_of(entry.name)
        try:
            status = entry.stat()
        except FileNotFoundError:
            continue
        if number is not None and stat.S_ISREG(status.st_mode):
            found[number] = (Path(entry.path), (status.st_size, status.st_mtime_ns))
    return found

"""The cold segments that a master serves: which there are, and that there are new ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from spgrepl.base.beat import Beat
from spgrepl.base.observers import Barrier
from spgrepl.base.reading import RunInThread
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import ManifestError
from spgrepl.segments.format import reason_left_out, segment_id_of
from spgrepl.segments.manifest import read_manifest
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK

LOOK_INTERVAL = 0.5
"""Seconds between two looks whether folder or manifest have changed."""

_COARSE_CLOCK = 2.0
"""No file system's clock goes in steps of more seconds."""

_NAMED = 20
"""So many files that are not served are named, and the others counted."""


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
        unsettled: Whether some were skipped because they are still being written.
        error: Why the manifest cannot be read.
        left_out: Files that look like segments and are not served, with the reason of each.
    """

    files: tuple[SegmentFile, ...] = ()
    missing: tuple[int, ...] = ()
    unsettled: bool = False
    error: str | None = None
    left_out: tuple[str, ...] = ()


class SegmentRegistry:
    """Knows the segments in a folder, and notices new ones.

    Args:
        clock: The reactor, or a clock.
        in_thread: Runs what could wait for a disk.
        where: The folder.
    """

    _log = RoleLogger()

    def __init__(self, clock: IReactorTime, in_thread: RunInThread, where: SegmentFolder) -> None:
        self.in_thread = in_thread
        self._where = where
        self._clock = steady_clock(clock)
        self._listing = _Listing()
        self._seen: dict[int, tuple[int, ...]] | None = None
        # When folder and manifest were changed, by the file system's clock; and since when that is known, by ours.
        self._marks: tuple[int | None, ...] = ()
        self._marks_since = 0.0
        self._look_again = True
        self._refreshed: Barrier[None] = Barrier()
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

    @property
    def chunk(self) -> int:
        """At how many bytes files are cut."""
        return self._where.chunk

    def refresh(self) -> Deferred[None]:
        """Look into the folder now, in a thread; the Deferred fires when `files` is up to date."""
        idle = not self._refreshed.heard
        waiter = self._refreshed.wait()
        if idle:
            self._scan()
        return waiter

    def status(self) -> dict[str, Any]:
        """What the status says of the segments."""
        return {
            "folder": str(self._where.folder),
            "count": len(self._listing.files),
            "missing": list(self._listing.missing),
            "left_out": list(self._listing.left_out),
            "error": self._listing.error,
        }

    # -- looking --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Scan where folder or manifest have changed, which two calls tell that do not wait for a disk."""
        if self._refreshed.heard or not (self._look_again or self._marks != self._read_marks()):
            return
        self.refresh().addErrback(self._fault)

    def _read_marks(self) -> tuple[int | None, ...]:
        return _time_of(self._where.folder), _time_of(self._where.manifest)

    def _scan(self) -> None:
        marks, now = self._read_marks(), self._clock.seconds()
        if marks != self._marks:
            self._marks, self._marks_since = marks, now
        # Names that change within one tick of the file system's clock do not change the folder's time. How that
        # clock stands to the time of day is not known: the folder may be another machine's.
        young = marks != _NOTHING and now - self._marks_since < _COARSE_CLOCK
        scanning = self.in_thread(partial(_list, self._where, self._seen))
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
        if listing.left_out and listing.left_out != before.left_out:
            self._log.error(
                "in {folder} are files that look like segments and are not served: {files}",
                folder=self._where.folder,
                files="; ".join(listing.left_out),
            )
        changed = listing.files != before.files
        self.version += changed
        self._refreshed.open(None)
        if changed:
            self._changed()

    def _not_scanned(self, failure: Failure) -> None:
        self._look_again = True
        self._refreshed.open(failure)

    def _fault(self, failure: Failure) -> None:
        self._log.failure("looking for cold segments failed", failure=failure)


_NOTHING = (None, None)
"""The marks where neither folder nor manifest is there."""


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
        found, left_out = _list_by_name(where.folder) if where.by_name else ({}, ())
    except OSError as error:
        return _Listing(error=f"{where.folder} cannot be read: {error}"), seen or {}
    settled = tuple(
        SegmentFile(number, path, version)
        for number, (path, version) in sorted(found.items())
        if seen is None or seen.get(number) == version
    )
    versions = {number: version for number, (_, version) in found.items()}
    return _Listing(settled, unsettled=len(settled) < len(found), left_out=left_out), versions


def _list_by_name(folder: Path) -> tuple[dict[int, tuple[Path, tuple[int, ...]]], tuple[str, ...]]:
    """The segments in a folder by id, with path, length and time; and what only looks like one, and why."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return {}, ()
    found: dict[int, tuple[Path, tuple[int, ...]]] = {}
    left_out: list[str] = []
    for entry in entries:
        number = segment_id_of(entry.name)
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        reason = reason_left_out(entry.name, status.st_mode)
        if reason is not None:
            left_out.append(f"{entry.name!r}: {reason}")
        elif number is not None:
            found[number] = (Path(entry.path), (status.st_size, status.st_mtime_ns))
    if len(left_out) > _NAMED:
        left_out[_NAMED:] = [f"and {len(left_out) - _NAMED} more"]
    return found, tuple(left_out)

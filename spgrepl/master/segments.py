"""The cold segments that a master serves: which there are, and their files cut into chunks for a connection."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
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
from spgrepl.errors import ManifestError, SegmentChanged
from spgrepl.manifest import read_manifest
from spgrepl.master.reading import PIECE, FileReader, RunInThread
from spgrepl.segment_format import segment_id_of
from spgrepl.wire.frames import CHUNK_ROOM, encode_chunk_start
from spgrepl.wire.segment_chunks import DEFAULT_CHUNK, ChunkHeader, chunk_count

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


# -- sending --------------------------------------------------------------------------------------------------


class SegmentCursor:
    """What one connection has sent of the segments, and what comes next. Nothing is read ahead.

    Args:
        registry: The segments.
        in_thread: Opens files.
        chunk: At how many bytes to cut.

    Attributes:
        done: How many segments were sent to their end.
        sent: How many bytes of segments were handed out.
    """

    def __init__(self, registry: SegmentRegistry, in_thread: RunInThread, chunk: int) -> None:
        self._registry = registry
        self._in_thread = in_thread
        self._chunk = chunk
        self._version = -1
        self._handed: set[SegmentFile] = set()
        self._next: deque[SegmentFile] = deque()
        self._file: _OpenSegment | None = None
        self._closed = False
        self.done = 0
        self.sent = 0

    @property
    def total(self) -> int:
        """How many segments there are to send, those that were sent included."""
        return len(self._handed) + len(self._next)

    @property
    def in_chunk(self) -> bool:
        """Whether a chunk is half sent, so that no other frame may come."""
        return self._file is not None and self._file.in_chunk

    @property
    def waiting(self) -> bool:
        """Whether there is something to send."""
        if self._version < 0 or self._file is not None:
            return True
        if self._version != self._registry.version:
            self._update()
        return bool(self._next)

    def _update(self) -> None:
        self._version = self._registry.version
        self._next = deque(file for file in self._registry.files if file not in self._handed)

    def next(self) -> memoryview | Deferred[memoryview | None]:
        """The next piece of a chunk, with the headers in front where the chunk begins. Only while `waiting`.

        Returns:
            The piece, or a Deferred of it; the Deferred may fire with None, and `waiting` has to be asked again.

        Raises:
            SegmentChanged: (or through the Deferred) The file vanished, shrank or changed while it was sent.
            OSError: (or through the Deferred) It cannot be read.
        """
        if self._version < 0:
            return self._registry.refresh().addCallback(self._listed)
        if self._file is None:
            file = self._next.popleft()
            self._handed.add(file)
            opening = self._in_thread(partial(_open, file))
            return opening.addCallback(self._opened, file)
        return self._piece(self._file)

    def _listed(self, _: None) -> None:
        self._update()

    def _opened(self, handle: int, file: SegmentFile) -> memoryview | Deferred[memoryview | None] | None:
        segment = _OpenSegment(file, FileReader(handle, str(file.path), self._in_thread), handle, self._chunk)
        if self._closed:
            segment.close()
            return None
        self._file = segment
        return self._piece(segment)

    def _piece(self, segment: _OpenSegment) -> memoryview | Deferred[memoryview | None]:
        piece = segment.read()
        if isinstance(piece, Deferred):
            return piece.addCallback(self._take, segment)
        return self._take(piece, segment)

    def _take(self, piece: bytearray, segment: _OpenSegment) -> memoryview:
        before = segment.offset
        view = segment.take(piece)
        self.sent += segment.offset - before
        if segment.complete:
            segment.close()
            self._file = None
            self.done += 1
        return view

    def close(self) -> None:
        """Send nothing more."""
        self._closed = True
        if self._file is not None:
            self._file.close()
            self._file = None


def _open(file: SegmentFile) -> int:
    try:
        return os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SegmentChanged(f"{file.path} vanished before segment {file.id} could be sent") from error


class _OpenSegment:
    """A segment's file that is being sent."""

    def __init__(self, file: SegmentFile, reader: FileReader, handle: int, chunk: int) -> None:
        self._file = file
        self._reader = reader
        self._handle = handle
        self._chunk = chunk
        self._identity = _identity(handle)
        self._size = self._identity[0]
        self._total = chunk_count(self._size, chunk)
        self.offset = 0
        self.complete = False

    @property
    def in_chunk(self) -> bool:
        return self.offset % self._chunk != 0

    def _extent(self) -> tuple[int, int]:
        """How many bytes come next, and how much room for headers there must be in front of them."""
        within = self.offset % self._chunk
        left = min(self._chunk - within, self._size - self.offset)
        return min(PIECE, left), 0 if within else CHUNK_ROOM

    def read(self) -> bytearray | Deferred[bytearray]:
        size, room = self._extent()
        if not size:
            return bytearray(room)
        piece = self._reader.read_now(self.offset, size, room)
        return self._reader.read_later(self.offset, size, room) if piece is None else piece

    def take(self, piece: bytearray) -> memoryview:
        """Put headers in front of what was read, and count it."""
        size, room = self._extent()
        if room:
            length = min(self._chunk, self._size - self.offset)
            seq = self.offset // self._chunk
            piece[:room] = encode_chunk_start(ChunkHeader(self._file.id, seq, self._total, length))
        self.offset += size
        self.complete = self.offset == self._size
        if self.complete or self.offset % self._chunk == 0:
            self._check_unchanged()
        return memoryview(piece).toreadonly()

    def _check_unchanged(self) -> None:
        found = _identity(self._handle)
        if found != self._identity:
            what = "was removed or replaced" if not found[2] else f"changed: {self._size} bytes became {found[0]}"
            raise SegmentChanged(
                f"{self._file.path} {what} while segment {self._file.id} was sent; the follower gets it anew when "
                f"it connects again"
            )

    def close(self) -> None:
        self._reader.close()


def _identity(handle: int) -> tuple[int, int, int]:
    """Length, time of change, and whether the file still has a name."""
    status = os.fstat(handle)
    return status.st_size, status.st_mtime_ns, int(status.st_nlink > 0)

"""The files of a follower's cold segments, and the manifest that registers them. Blocking, in their own thread.

A file gets its name when it is whole, durable and sound, and counts from when the manifest lists it. A crash
leaves temporary files, or a file with its name that nothing lists: both are removed at the next start.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath

import attrs

from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import DatabasePaths, create_private, remove_temporaries, replace_file, sync_folder
from spgrepl.disk.limits import DEFAULT_LIMITS, ReplicaLimits
from spgrepl.errors import LocalFilesDamaged, ManifestError
from spgrepl.segments.folder import SegmentFolderOwner
from spgrepl.segments.format import SegmentCheck, SegmentSummary, segment_id_of, segment_name
from spgrepl.segments.manifest import Manifest, ManifestSegment, read_manifest, write_manifest
from spgrepl.text.role_log import RoleLogger

TEMPORARY = ".incoming"
"""What the name of a file ends with while it is received."""

SYNC_EVERY = 32 * 1024 * 1024
"""After how many bytes what was written is sent to the disk, so that the end of a file has not to wait for all.

What is there then leaves the page cache, whose memory the next bytes use: gigabytes that nobody reads soon push
nothing else out of it, and need no memory that the kernel has to find first.
"""

MOST_UNSYNCED = 128 * 1024 * 1024

_IOV_MAX = os.sysconf("SC_IOV_MAX")
_COPY = 1024 * 1024
_PENDING = struct.Struct("<IQ")


@attrs.frozen
class StoredSegment:
    """A segment that is in place.

    Attributes:
        id: Its id.
        path: Its file.
        summary: What it is.
        written: Whether it was written now; otherwise the file that was there is the same, and was not touched.
    """

    id: int
    path: Path
    summary: SegmentSummary
    written: bool


class SegmentStore:
    """Keeps segments and manifest of one database.

    Args:
        paths: The database's files.
    """

    _log = RoleLogger()

    def __init__(self, paths: DatabasePaths, limits: ReplicaLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self._owner = SegmentFolderOwner(paths)
        self._folder = paths.segments
        self._manifest_path = paths.manifest
        self._pending_path = paths.folder / "snapshot.pending"
        self._snapshot_crc = 0
        self._registered: dict[int, ManifestSegment] = {}
        self._syncer: ThreadPoolExecutor | None = None

    @property
    def registered(self) -> int:
        """How many segments the manifest lists."""
        return len(self._registered)

    def path_of(self, segment_id: int) -> Path:
        """Where a segment's file is."""
        return self._folder / segment_name(segment_id)

    # -- opening and closing ----------------------------------------------------------------------------------

    def open(self, base: int | None) -> list[tuple[int, Path]]:
        """Read the manifest and clear what crashes have left behind.

        Args:
            base: The position that the copy's snapshot stands at; None where there is no copy.

        Returns:
            The segments that are registered and whose files are there: id and path.

        Raises:
            LocalFilesDamaged: The folder is somebody else's, or the manifest cannot be read.
        """
        self._owner.require(base)
        remove_temporaries((self._manifest_path, self._pending_path))
        try:
            manifest = read_manifest(self._manifest_path)
        except ManifestError as error:
            raise LocalFilesDamaged(f"{error}; or remove it: all segments are then received again") from error
        self._syncer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spgrepl-segment-sync")
        if manifest is not None:
            self._snapshot_crc = manifest.snapshot_crc
            self._registered = {
                one.id: one for one in manifest.segments if PurePosixPath(one.path).name == segment_name(one.id)
            }
        self._end_installation(base)
        self._clear_leftovers(orphans=manifest is not None)
        present = ((one, self.path_of(one)) for one in self._registered)
        return [(one, path) for one, path in present if path.is_file()]

    def _end_installation(self, base: int | None) -> None:
        """Take over the CRC of a snapshot that was put in place just before a crash."""
        try:
            crc, position = _PENDING.unpack(read_regular(self._pending_path))
        except (FileNotFoundError, struct.error):
            return
        if position == base:
            self._snapshot_crc = crc
            self._write_manifest()
        self._pending_path.unlink()

    def _clear_leftovers(self, orphans: bool) -> None:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return
        for name in names:
            temporary = name.endswith(TEMPORARY) and segment_id_of(name.removesuffix(TEMPORARY)) is not None
            number = segment_id_of(name)
            orphan = orphans and number is not None and number not in self._registered
            if temporary or orphan:
                self._log.info(
                    "removing {path}: {why}",
                    path=self._folder / name,
                    why="it was not registered; it will be received again" if orphan else "it is not whole",
                )
                (self._folder / name).unlink()

    def close(self) -> None:
        """Let go of everything."""
        if self._syncer is not None:
            self._syncer.shutdown()
            self._syncer = None

    # -- the snapshot's checksum ------------------------------------------------------------------------------

    def installing(self, crc: int, position: int) -> None:
        """A snapshot is about to be put in place.

        Args:
            crc: The CRC-32 of the snapshot as it was received.
            position: The position that it stands at.
        """
        self._owner.make(self._manifest_path.parent)
        replace_file(self._pending_path, _PENDING.pack(crc, position))

    def installed(self, crc: int) -> None:
        """The snapshot is in place."""
        self._snapshot_crc = crc
        self._write_manifest()
        self._pending_path.unlink(missing_ok=True)

    # -- segments ---------------------------------------------------------------------------------------------

    def receive(self, segment_id: int, at_least: int) -> IncomingSegment:
        """Get ready for a segment's bytes.

        Args:
            segment_id: Its id.
            at_least: How many bytes it has, as far as is known.

        Raises:
            SegmentNotStored: There is no room for so many.
        """
        assert self._syncer is not None
        present = self.path_of(segment_id) if segment_id in self._registered else None
        self._owner.make(self._folder)
        if present is None or not present.is_file():
            present = None
            self.limits.check_room(self._folder, at_least)
        return IncomingSegment(segment_id, self.path_of(segment_id), present, self._syncer)

    def is_registered(self, segment_id: int, crc: int) -> bool:
        """Whether the manifest lists a segment with a CRC-32."""
        found = self._registered.get(segment_id)
        return found is not None and found.crc == crc

    def register(self, stored: StoredSegment) -> None:
        """List a segment in the manifest, durably."""
        path = stored.path.relative_to(self._manifest_path.parent).as_posix()
        self._registered[stored.id] = ManifestSegment(stored.id, path, stored.summary.crc)
        self._write_manifest()

    def _write_manifest(self) -> None:
        self._owner.make(self._manifest_path.parent)
        listed = tuple(self._registered[one] for one in sorted(self._registered))
        write_manifest(self._manifest_path, Manifest(self._snapshot_crc, listed))


class IncomingSegment:
    """One segment whose bytes come.

    Where a registered file is there already, what comes is compared with it byte for byte, and nothing is written
    as long as both agree.

    Args:
        segment_id: Its id.
        path: Where its file belongs.
        present: The registered file; None where there is none.
        syncer: A thread that sends to the disk what was written, while more is written.
    """

    def __init__(self, segment_id: int, path: Path, present: Path | None, syncer: ThreadPoolExecutor) -> None:
        self._id = segment_id
        self._path = path
        self._temporary = path.with_name(path.name + TEMPORARY)
        self._check = SegmentCheck(f"segment {segment_id}")
        self._syncer = syncer
        self._syncing: Future[None] | None = None
        self._unsynced = 0
        self._handle = -1
        self._present = -1
        if present is not None:
            self._present = os.open(present, os.O_RDONLY | os.O_CLOEXEC)
        else:
            self._create()

    def _create(self) -> None:
        self._handle = create_private(self._temporary)

    def write(self, pieces: Sequence[memoryview]) -> None:
        """Take the next bytes.

        Raises:
            OSError: The disk refuses.
        """
        equal = 0  # so many pieces are in the file that is there
        for piece in pieces:
            if self._present >= 0:
                if os.pread(self._present, len(piece), self._check.length) == piece:
                    equal += 1
                else:
                    self._part_ways()
            self._check.update(piece)
        self._append(pieces[equal:])
        if self._unsynced >= SYNC_EVERY:
            self._sync_beside()

    def _append(self, pieces: Sequence[memoryview]) -> None:
        """Write pieces in one go: the kernel takes a few big blocks for less than many small ones."""
        left = deque(pieces)
        while left:
            count = os.writev(self._handle, list(islice(left, _IOV_MAX)))
            self._unsynced += count
            while left and count >= len(left[0]):
                count -= len(left.popleft())
            if count:
                left[0] = left[0][count:]

    def _part_ways(self) -> None:
        """What comes is no longer what is there: go on with a new file that begins with what was equal."""
        self._create()
        at, end = 0, self._check.length
        while at < end:
            at += os.write(self._handle, os.pread(self._present, min(_COPY, end - at), at))
        present, self._present = self._present, -1
        os.close(present)

    def _sync_beside(self) -> None:
        if self._syncing is not None and not self._syncing.done() and self._unsynced < MOST_UNSYNCED:
            return
        self._await_sync()
        self._unsynced = 0
        self._syncing = self._syncer.submit(_move_to_disk, self._handle, self._check.length)

    def _await_sync(self) -> None:
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            syncing.result()

    def finish(self) -> StoredSegment:
        """All bytes have come: judge them and put the file in place, durably.

        Raises:
            SegmentDamaged: They are not sound. Nothing is put in place.
            OSError: The disk refuses. Nothing is put in place.
        """
        try:
            return self._finish()
        except BaseException:
            self.discard()
            raise

    def _finish(self) -> StoredSegment:
        summary = self._check.finish()
        if self._present >= 0 and os.fstat(self._present).st_size != summary.length:
            self._part_ways()
        written = self._handle >= 0
        if written:
            self._await_sync()
            os.fsync(self._handle)
            os.rename(self._temporary, self._path)
            sync_folder(self._path.parent)
        self._close()
        return StoredSegment(self._id, self._path, summary, written)

    def discard(self) -> None:
        """Give the segment up; nothing of it is left. May be called at any time, and twice."""
        temporary = self._handle >= 0
        self._close()
        if temporary:
            self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        syncing, self._syncing = self._syncing, None
        if syncing is not None:
            # Whether it succeeds no longer matters: the file is complete and durable, or given up.
            syncing.exception()
        for handle in (self._handle, self._present):
            if handle >= 0:
                os.close(handle)
        self._handle = self._present = -1


def _move_to_disk(handle: int, end: int) -> None:
    """Make a file's bytes durable up to an offset, and drop them from the page cache."""
    os.fdatasync(handle)
    # From the front each time: a block of the cache that reaches beyond the end stays until the end is behind it.
    os.posix_fadvise(handle, 0, end, os.POSIX_FADV_DONTNEED)

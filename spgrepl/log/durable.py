r"""How much of a log is durable: a small file beside it, which its writer keeps and its readers obey.

The bytes of a statement are in the log's file before they are on the disk, and a disk that refuses takes them
back. What is streamed must not be faster than that: what a follower has applied cannot be taken back there. So the
writer says after each fsync how far its log is durable. Nothing after that is served, by this process or another.

The file is written with one small `pwrite`, not through a mapping: the kernel tells those who watch a file of the
one (inotify) and not of the other, and so readers are woken by it. It is never fsynced, so a loss of power may
leave an older content, or none. That does no harm: it names the start of the machine that it was written in, and
what can be read of a log after a later start is on the disk.

Layout, little-endian: ``"SPGDUR\x01\0"`` · `u64` inode of the log · `u64` length · `u32` flags (1: a writer has
the log open, 2: something was refused before the length, 4: another program has written the database) · 16 bytes
that name the machine's start (``boot_id``) · `u32` CRC-32 of all before.

What counts of a log, for its readers:

- No file: it is the log of an SPG server, or of an earlier version. All counts.
- The file says that no writer has the log open, or it speaks of a different log (by the inode), or of an earlier
  start of the machine. All counts.
- A writer has the log open, or was killed while it had: the log counts up to the length. The next writer makes the
  rest durable, and says so.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import struct
from pathlib import Path
from uuid import UUID
from zlib import crc32

import attrs

from spgrepl.base.small_files import descriptor_of_regular, read_regular
from spgrepl.disk.files import create_private
from spgrepl.errors import LocalFilesDamaged
from spgrepl.text.role_log import RoleLogger

_MAGIC = b"SPGDUR\x01\0"
_CONTENT = struct.Struct("<8sQQI16s")
_CRC = struct.Struct("<I")
_SIZE = _CONTENT.size + _CRC.size
_OPEN, _REFUSED, _FOREIGN = 1, 2, 4
_READS = 5
"""A read may meet a write that is under way; so many in a row cannot."""

_UNKNOWN_BOOT = bytes(16)


def durable_path(wal: Path) -> Path:
    """The file's name: the log's with ``.durable``."""
    return wal.with_name(wal.name + ".durable")


@functools.cache
def boot_id() -> bytes:
    """What names this start of the machine, 16 bytes; zeros where the system does not say."""
    try:
        return UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).bytes
    except (OSError, ValueError):
        return _UNKNOWN_BOOT


@attrs.frozen
class DurableLength:
    """What a writer says of its log.

    Attributes:
        inode: The log's inode.
        length: Up to where it is durable, in bytes.
        open: Whether a writer has it open, or was killed while it had.
        refused: Whether something was refused by the disk before this length: what is written next begins with a
            record that says so.
        boot: The start of the machine that it was written in.
        foreign: Whether the writer has noticed that another program wrote into its database, past the log.
    """

    inode: int
    length: int
    open: bool
    refused: bool = False
    boot: bytes = attrs.field(factory=boot_id)
    foreign: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether nothing beyond the length was acknowledged; else more may have been."""
        return self.open and self.boot == boot_id() != _UNKNOWN_BOOT

    def encode(self) -> bytes:
        """The file's content."""
        flags = (_OPEN if self.open else 0) | (_REFUSED if self.refused else 0) | (_FOREIGN if self.foreign else 0)
        content = _CONTENT.pack(_MAGIC, self.inode, self.length, flags, self.boot)
        return content + _CRC.pack(crc32(content))

    @classmethod
    def decode(cls, content: bytes) -> DurableLength | None:
        """Read a file's content; None where it is not one that `encode` made."""
        if len(content) != _SIZE or _CRC.unpack(content[-_CRC.size :])[0] != crc32(content[: -_CRC.size]):
            return None
        magic, inode, length, flags, boot = _CONTENT.unpack(content[: -_CRC.size])
        if magic != _MAGIC:
            return None
        return cls(inode, length, bool(flags & _OPEN), bool(flags & _REFUSED), boot, bool(flags & _FOREIGN))

    def governs(self, inode: int) -> bool:
        """Whether a log, told by its inode, counts no further than the length."""
        return self.open and inode == self.inode and self.boot == boot_id()

    def limit(self, inode: int, size: int) -> int:
        """How much of a log counts, in bytes.

        Args:
            inode: The log's inode.
            size: Its length in bytes, which was looked at before this was read.
        """
        return min(size, self.length) if self.governs(inode) else size


def read_durable(wal: Path) -> DurableLength | None:
    """Read what the writer of a log says of it; None where nobody has said anything.

    Raises:
        LocalFilesDamaged: The file is there and is not one that a writer made.
        OSError: It cannot be read.
    """
    with contextlib.closing(DurableReader(wal)) as reader:
        return reader.read()


def read_durable_of(wal: Path, inode: int | None, size: int) -> DurableLength | None:
    """Read what the last writer of a log said of this very file, for its next writer.

    Args:
        wal: The log.
        inode: Its inode; None where there is none yet.
        size: Its length in bytes.

    Returns:
        What it said; None where nobody said anything of this file. A log that was closed in order and is shorter
        now was restored from a backup, or cut by its owner: what was said of it is over.

    Raises:
        LocalFilesDamaged, OSError: See `read_durable`.
    """
    try:
        found = read_durable(wal)
    except LocalFilesDamaged:
        if not _is_ours(read_regular(durable_path(wal))[: _SIZE + 1]):
            raise
        return None
    if found is None or found.inode != inode or (not found.open and found.length > size):
        return None
    return found


class DurableReader:
    """A reader's side, which keeps the file open. Blocking, but a look costs two calls of the system.

    Args:
        wal: The log.

    Attributes:
        path: The file.
        changes: How often a file was opened or closed: whoever watches it by its name looks whether that is so.
    """

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self.path = durable_path(wal)
        self.changes = 0
        self._handle = -1

    @property
    def is_open(self) -> bool:
        """Whether there is a file."""
        return self._handle >= 0

    def read(self) -> DurableLength | None:
        """Read the file as it is now; see `read_durable`."""
        if self._handle >= 0 and not os.fstat(self._handle).st_nlink:
            self.close()
        if self._handle < 0:
            try:
                self._handle = descriptor_of_regular(self.path)
            except FileNotFoundError:
                return None
            self.changes += 1
        content = b""
        for _ in range(_READS):
            content = os.pread(self._handle, _SIZE + 1, 0)
            found = DurableLength.decode(content)
            if found is not None:
                return found
        if _is_blank(content):
            return None
        raise _stranger(self.path, self._wal)

    def close(self) -> None:
        """Close the file; nothing happens when it is not open."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            self.changes += 1


def _is_blank(content: bytes) -> bool:
    """Whether nothing was written yet, or a loss of power has taken it: nothing is said then."""
    return len(content) <= _SIZE and not content.strip(b"\0")


def _is_ours(content: bytes) -> bool:
    """Whether a content is one of ours, be it torn by a loss of power."""
    return len(content) <= _SIZE and (content.startswith(_MAGIC) or _MAGIC.startswith(content.rstrip(b"\0")))


def _stranger(path: Path, wal: Path) -> LocalFilesDamaged:
    return LocalFilesDamaged(
        f"{path} does not say how much of {wal} is durable: it is damaged, or not a file of spgrepl. Start the "
        f"primary that writes the log, which makes it again; or move it away"
    )


class DurableFile:
    """A writer's side: says how far its log is durable. Blocking; used by one thread at a time.

    To say it is not worth a failure of what is durable already: where the file cannot be written, that is logged,
    and readers wait.

    Args:
        wal: The log.
    """

    _log = RoleLogger()

    def __init__(self, wal: Path) -> None:
        self._wal = wal
        self._path = durable_path(wal)
        self._handle = -1
        self._of = -1
        self._said = DurableLength(0, 0, open=False)
        self._complaint: str | None = None

    @property
    def complaint(self) -> str | None:
        """Why the file cannot be written; None while it can."""
        return self._complaint

    @property
    def length(self) -> int:
        """The length that was said last, in bytes."""
        return self._said.length

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._handle >= 0

    @property
    def mark_due(self) -> bool:
        """Whether what is written next has to say that something was refused before it."""
        return self._said.refused

    def begin(self, log: int, length: int, refused: bool) -> None:
        """Say that the log has a writer, before that one changes anything.

        Args:
            log: The log's descriptor.
            length: Up to where it is known to be durable, in bytes.
            refused: See `DurableLength.refused`.

        Raises:
            OSError: The file cannot be made or written.
            LocalFilesDamaged: A file of something else has its name.
        """
        self._of = log
        self._said = DurableLength(os.fstat(log).st_ino, length, open=True, refused=refused)
        self._handle = self._open()
        content = self._said.encode()
        os.pwrite(self._handle, content, 0)
        os.ftruncate(self._handle, len(content))

    def _open(self) -> int:
        try:
            handle = create_private(self._path)
        except FileExistsError:
            handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            regular = stat.S_ISREG(os.fstat(handle).st_mode)
            if not regular or not _is_ours(os.pread(handle, _SIZE + 1, 0)):
                os.close(handle)
                raise _stranger(self._path, self._wal) from None
        else:
            # Whoever may read the log has to be able to read how much of it counts.
            log = os.fstat(self._of)
            with contextlib.suppress(OSError):
                os.fchown(handle, -1, log.st_gid)
            os.fchmod(handle, stat.S_IMODE(log.st_mode) & 0o666)
        return handle

    def publish(self, length: int, refused: bool = False) -> None:
        """Say that the log is durable up to a length, in bytes.

        Args:
            length: The length.
            refused: See `DurableLength.refused`.
        """
        said = self._said
        self._say(DurableLength(said.inode, length, said.open, refused, said.boot, said.foreign))

    def tell_foreign(self) -> None:
        """Say, until the next writer begins, that another program has written the database."""
        if not self._said.foreign:
            self._say(attrs.evolve(self._said, foreign=True))

    def end(self) -> None:
        """Say that the log has no writer, and that all of it is durable; close the file."""
        if self._handle >= 0:
            self._say(attrs.evolve(self._said, open=False))
        self.leave()

    def leave(self) -> None:
        """Close the file and say nothing, as a writer that is killed: the log counts as far as it did."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _say(self, what: DurableLength) -> None:
        self._said = what
        content = what.encode()
        try:
            if os.fstat(self._handle).st_nlink == 0:
                # Somebody removed it; those who look for it would take all of the log for durable.
                fresh = self._open()
                os.close(self._handle)
                self._handle = fresh
            if os.pwrite(self._handle, content, 0) != len(content):
                raise OSError(f"{self._path} was not written whole")
        except (OSError, LocalFilesDamaged) as error:
            said, self._complaint = (
                self._complaint,
                (f"{self._path} cannot be written ({error}): what is new in the log is not sent on before it can"),
            )
            if said is None:
                self._log.error("{complaint}", complaint=self._complaint)
        else:
            self._complaint = None

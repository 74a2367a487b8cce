"""What a file looks like, by its content: for messages, and for whoever must not take one file for another.

A name says little: ``app.wal`` may be a log, a database that somebody moved there, or a letter. Whatever cuts,
overwrites or advises to do so looks here first.
"""

from __future__ import annotations

import enum
import os
import stat
from pathlib import Path

from spgrepl.errors import ConfigurationError, unusable_file
from spgrepl.log.format.records import DEFAULT_MAX_RECORD, FLAG_V2, FLAG_V3, FLAG_V6, LENGTH_MASK, RecordType
from spgrepl.log.format.salvage import find_record, is_whole

_HEAD = 4096
_SEARCHED = 1024 * 1024
"""So many bytes at a file's start are searched for a whole record of a log whose first one is damaged."""

_TYPES = frozenset(map(int, RecordType))
_EMBEDDED_TYPES = frozenset(range(0x10, 0x14))
"""The types of records in format v6."""

_SPG_SNAPSHOTS = (b"SPGENV01", b"SPGDB001")
_MAGICS = (
    (b"SQLite format 3\0", "SQLITE"),
    *((magic, "SPG_SNAPSHOT") for magic in _SPG_SNAPSHOTS),
    (b"SPGSEG", "SEGMENT"),
    (b"SPGMAN", "MANIFEST"),
    (b"\x37\x7f\x06\x82", "SQLITE_WAL"),
    (b"\x37\x7f\x06\x83", "SQLITE_WAL"),
)


class FileKind(enum.Enum):
    """What a file is; the value says it in words that go on from "it is" or "it looks like"."""

    MISSING = "missing"
    EMPTY = "an empty file"
    FOLDER = "a folder"
    SPECIAL = "a device, a pipe or a socket"
    LOG = "an SPG log"
    TORN_LOG = "the first bytes of an SPG log, without one whole record"
    SQLITE = "a SQLite database"
    SQLITE_WAL = "the write-ahead log of a SQLite database"
    SPG_SNAPSHOT = "an SPG snapshot"
    SEGMENT = "an SPG cold segment"
    MANIFEST = "an SPG manifest"
    ZEROS = "a file of zero bytes only"
    TEXT = "a text file"
    OTHER = "a file of an unknown format"

    @property
    def may_be_log(self) -> bool:
        """Whether nothing speaks against the file being a log, be it damaged or only begun."""
        return self in (FileKind.EMPTY, FileKind.LOG, FileKind.TORN_LOG, FileKind.ZEROS)

    def __str__(self) -> str:
        return self.value


def what_it_looks_like(path: Path) -> FileKind:
    """Say what a file is, by its content. Nothing is changed; blocking, and quick whatever the file's length.

    Never call it for a database that this process has open in SQLite: closing any other descriptor of the file
    takes SQLite's locks away.

    Args:
        path: The file; symbolic links are followed.

    Raises:
        OSError: The file is there and cannot be read.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return FileKind.MISSING
    if stat.S_ISDIR(status.st_mode):
        return FileKind.FOLDER
    if not stat.S_ISREG(status.st_mode):
        return FileKind.SPECIAL
    if not status.st_size:
        return FileKind.EMPTY
    with open(path, "rb", buffering=0) as file:
        return _judge(file.fileno(), status.st_size)


def require_log(path: Path) -> None:
    """See that a file which another program writes may be its log; one that is missing is waited for. Blocking.

    Args:
        path: The file.

    Raises:
        ConfigurationError: It is something else, or cannot be read.
        EngineFailed: The disk refuses.
    """
    try:
        found = what_it_looks_like(path)
    except OSError as error:
        raise unusable_file(error, f"the log {path} cannot be read") from error
    if found is not FileKind.MISSING and not found.may_be_log:
        raise ConfigurationError(f"{path} is not a log: it looks like {found}. Name the log with --wal")


def _judge(handle: int, length: int) -> FileKind:
    head = os.pread(handle, _HEAD, 0)
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return FileKind[name]
    if is_whole(handle, 0, length) or _begins_with_v1(handle, head, length):
        return FileKind.LOG
    if not head.strip(b"\0"):
        return FileKind.ZEROS
    if _is_text(head):
        return FileKind.TEXT
    if find_record(handle, 0, min(length, _SEARCHED), DEFAULT_MAX_RECORD).position is not None:
        return FileKind.LOG
    return FileKind.TORN_LOG if _begins_like_log(head, length) else FileKind.OTHER


def _begins_with_v1(handle: int, head: bytes, length: int) -> bool:
    """Whether a v1 record of plain text stands first: these have no checksum."""
    size = int.from_bytes(head[:4], "little")
    if len(head) < 5 or size & FLAG_V2 or not 0 < size <= min(DEFAULT_MAX_RECORD, length - 4):
        return False
    return _is_text(os.pread(handle, min(size, _HEAD), 4))


def _begins_like_log(head: bytes, length: int) -> bool:
    """Whether a file may be a v2 or v3 record of which the end is missing."""
    if length < 4:
        return True  # too short to say anything else
    word = int.from_bytes(head[:4], "little")
    if not word & FLAG_V2 or (word & LENGTH_MASK) > DEFAULT_MAX_RECORD:
        return False
    if word & FLAG_V3 != FLAG_V3:
        return _is_sql(head[8:], word & LENGTH_MASK)
    types = _EMBEDDED_TYPES if word & FLAG_V6 == FLAG_V6 else _TYPES
    if len(head) > 8 and head[8] not in types:
        return False
    return head[8:9] != bytes((RecordType.SQL,)) or _is_sql(head[9:], word & LENGTH_MASK)


def _is_sql(body: bytes, length: int) -> bool:
    """Whether bytes may be the beginning of SQL that is so long; the rest may never have been written."""
    # A loss of power leaves zeros in the place of what was not written yet.
    return _decoded(body[:length].rstrip(b"\0")) is not None


def _is_text(data: bytes) -> bool:
    """Whether bytes read as UTF-8 without control characters."""
    text = _decoded(data)
    return text is not None and all(letter.isprintable() or letter in "\t\n\r\f" for letter in text)


def _decoded(data: bytes) -> str | None:
    """Bytes as UTF-8, whose last character may be cut off; None where they are something else."""
    for cut in range(4):
        try:
            return data[: len(data) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
    return None

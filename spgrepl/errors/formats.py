"""Errors of bytes: log records, frames, handshakes, files, snapshots."""

from __future__ import annotations

from spgrepl.errors.base import EXIT_CONFIGURATION, PeerError


class RecordError(PeerError):
    """A log record that cannot be read.

    Attributes:
        position: Where the record starts, in bytes from the start of its log.
        what: What is wrong, without the position.
    """

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(f"at position {position}: {message}")
        self.position = position
        self.what = message


class RecordTooLong(RecordError):
    """The record's header states a length above the limit."""


class RecordChecksumMismatch(RecordError):
    """The record's CRC-32 differs from the one that its header states."""


class UnknownRecordType(RecordError):
    """A v3 record of a type that is not part of the format: never skipped, never guessed."""


class UnsupportedRecordFormat(RecordError):
    """A record in format v6 (bits 31, 30 and 29 set), which SPG servers do not stream."""


class MalformedRecord(RecordError):
    """A record whose payload does not have the form that its type asks for."""


class AmbiguousTransactions(RecordError):
    """Transactions were open at the same time, their ends differ, and the log does not say which rows are whose.

    Attributes:
        position: Where the record starts that ends the last of them.
        begin: Where the first of them begins.
    """

    def __init__(self, what: str, position: int, begin: int) -> None:
        super().__init__(
            f"{what}. A fresh copy has what the master has (--ambiguous-transactions resnapshot, at a follower); "
            f"--ambiguous-transactions merge takes all of them as committed, whatever was rolled back",
            position,
        )
        self.begin = begin


class StartInsideRecord(PeerError):
    """A position that was asked for is not the first byte of a record.

    Attributes:
        position: The position.
    """

    def __init__(self, position: int, found: str) -> None:
        super().__init__(
            f"no record starts at position {position}, from which the log was asked for ({found}): the position "
            f"belongs to another log, or was miscounted"
        )
        self.position = position


class CompressionError(PeerError):
    """An LZSS stream that cannot be expanded."""


class HandshakeError(PeerError):
    """The opening bytes of a connection are not those of any SPG protocol."""


class FrameTooLong(PeerError):
    """A frame's header states a length above the limit."""


class MalformedFrame(PeerError):
    """A frame whose payload does not have the form that its type asks for."""


class PositionTooLarge(PeerError):
    """A position in a log beyond what the place can store that it is to be stored in."""


class SnapshotError(PeerError):
    """A snapshot that is empty, ended early, or is not what the engine can put in place."""


class SnapshotUnusable(SnapshotError):
    """Two snapshots in a row could not be read, in the same way: fetching a third one is of no use."""


class CopyRefused(SnapshotError):
    """The rows of this master cannot be copied into this target, however often it is tried."""

    exit_code = EXIT_CONFIGURATION


class ManifestError(PeerError):
    """A manifest that cannot be read."""


class UnsupportedManifest(ManifestError):
    """The file is not a manifest, or one of a different version."""


class ManifestTruncated(ManifestError):
    """The manifest ends before what it announces."""


class ManifestChecksumMismatch(ManifestError):
    """The manifest's CRC-32 differs from the one at its end."""


class MalformedManifest(ManifestError):
    """The manifest's checksum is right and its content breaks the rules: it was written by a faulty program."""


class ChunkError(PeerError):
    """A chunk of a cold segment that breaks the rules."""


class ChunkHeaderTooShort(ChunkError):
    """The frame has no room for a chunk's header."""


class ChunkTooLong(ChunkError):
    """The chunk states more bytes than one may carry."""


class ChunkLengthMismatch(ChunkError):
    """The chunk states another number of bytes than its frame has."""


class ChunkBeyondTotal(ChunkError):
    """The chunk's number is not below the total that it states, or that total is 0."""


class ChunkTotalChanged(ChunkError):
    """The chunk states another total than those before it."""


class ChunkOutOfOrder(ChunkError):
    """Another chunk of the segment was due."""


class TooManySegments(ChunkError):
    """More segments are under way at once than may be."""


class SegmentDamaged(PeerError):
    """A cold segment whose content does not fit its own checksum or header.

    Attributes:
        crc: The CRC-32 of all its bytes, which tells whether the same came twice.
    """

    def __init__(self, message: str, crc: int = 0) -> None:
        super().__init__(message)
        self.crc = crc


class SpgFileError(PeerError):
    """A snapshot or segment of an SPG server that cannot be read.

    Attributes:
        file: The file's name.
        offset: Where reading stopped, in bytes from the start of the file.
    """

    def __init__(self, message: str, file: str = "", offset: int = 0) -> None:
        super().__init__(f"{file}, at byte {offset}: {message}" if file else message)
        self.file = file
        self.offset = offset


class SpgFileTruncated(SpgFileError):
    """An SPG file ends before what it announces, or states a count that its bytes cannot hold."""


class SpgChecksumMismatch(SpgFileError):
    """A checksum inside an SPG file differs from that of its bytes."""


class UnknownSpgVersion(SpgFileError):
    """An SPG file of a version that is not known, or a file that is not SPG's at all."""


class UnknownSpgTag(SpgFileError):
    """A tag (of a type, a value, an index, a partition) that is not known: nothing after it can be read."""


class MalformedSpgFile(SpgFileError):
    """An SPG file whose content breaks the rules of its format."""


class ColdRowsMissing(PeerError):
    """Rows of a table are in cold segments that are not there."""

"""Every error that spgrepl raises, one class for one fault.

Two families say who has to act: `LocalError` means that this side was misused, misconfigured or has damaged
files; `PeerError` means that bytes from elsewhere (a connection, a log, a snapshot) broke the rules. Each class
carries the `sysexits` code with which a command ends when the error reaches its top.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_UNAVAILABLE = 69
EXIT_TRY_AGAIN = 75
EXIT_OTHER_HISTORY = 76
EXIT_REFUSED = 77
EXIT_CONFIGURATION = 78


class SpgReplError(Exception):
    """The base of all errors of this package.

    The message says what was found, where (file, peer or position), what was expected and what to do.
    """

    exit_code: ClassVar[int] = EXIT_DATA


class LocalError(SpgReplError):
    """This side was misused or misconfigured, or its own files are damaged."""


class PeerError(SpgReplError):
    """Bytes that came from elsewhere broke the rules of the protocol or of a file format."""


# -- bytes: log records, frames, handshakes, files ------------------------------------------------------------


class RecordError(PeerError):
    """A log record that cannot be read.

    Attributes:
        position: Where the record starts, in bytes from the start of its log.
    """

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(f"at position {position}: {message}")
        self.position = position


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


class ManifestError(PeerError):
    """A manifest that cannot be read."""


class UnsupportedManifest(ManifestError):
    """The file is no manifest, or one of another version."""


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


# -- the course of a connection -------------------------------------------------------------------------------


class PeerClosed(PeerError):
    """The peer closed the connection before it was done."""

    exit_code = EXIT_UNAVAILABLE


class PeerTimeout(PeerError):
    """The peer did not do in time what the protocol expects of it."""

    exit_code = EXIT_TRY_AGAIN


class HistoryDiverged(PeerError):
    """The master's log is not the one that this copy was made from, or was reset."""

    exit_code = EXIT_OTHER_HISTORY


class LogTruncated(HistoryDiverged):
    """The master's log ends before the position that this copy has reached."""


class StartLost(HistoryDiverged):
    """The log grew behind a start that cannot be asked for again."""


class ReplicationLoop(PeerError):
    """The master is this very database: its cluster id is ours."""

    exit_code = EXIT_REFUSED


class ConnectionRefused(PeerError):
    """A connection was turned away: a limit is reached, or its request cannot be served."""

    exit_code = EXIT_REFUSED


class StatementRefused(PeerError):
    """The engine refused a statement of the log.

    Attributes:
        index: The statement's index in the sequence that was handed to the engine.
        sql: The statement as it stands in the log.
        reason: What the engine said.
    """

    def __init__(self, index: int, sql: bytes, reason: str) -> None:
        super().__init__(f"the engine refused a statement: {reason}")
        self.index = index
        self.sql = sql
        self.reason = reason


class ReplayStopped(PeerError):
    """Replay stands before a record that the engine refuses.

    Attributes:
        position: Where the record starts in the master's log.
        crc: The record's CRC-32 (that of its SQL where the format has none).
        sql: The statement.
        reason: What the engine said.
    """

    def __init__(self, position: int, crc: int, sql: str, reason: str) -> None:
        shown = sql if len(sql) <= 300 else sql[:300] + "…"
        super().__init__(
            f"replay stopped at position {position}, CRC {crc:08x}: the engine refuses {shown!r}: {reason}. "
            f"Mend the copy, or pass over exactly this record with --skip-at {position} --skip-crc {crc:08x}"
        )
        self.position = position
        self.crc = crc
        self.sql = sql
        self.reason = reason


# -- this side ------------------------------------------------------------------------------------------------


class UsageError(LocalError):
    """A command or a call was given arguments that do not fit."""

    exit_code = EXIT_USAGE


class ConfigurationError(LocalError):
    """A setting names something that does not exist or cannot work."""

    exit_code = EXIT_CONFIGURATION


class TableMismatch(LocalError):
    """A published table is in the target already, and differs from the master's or holds rows."""

    exit_code = EXIT_CONFIGURATION


class SubscriptionGone(LocalError):
    """The subscription whose rows were to be written was dropped, or begun anew under its name."""

    exit_code = EXIT_CONFIGURATION


class DatabaseLocked(LocalError):
    """Another process or object already writes this database."""

    exit_code = EXIT_TRY_AGAIN


class LocalFilesDamaged(LocalError):
    """The database, its log and its sidecars do not agree, or one of them is damaged."""


class EngineFailed(LocalError):
    """The engine cannot store anything at present: a full or failing disk, or somebody who holds its lock."""

    exit_code = EXIT_TRY_AGAIN


class SegmentNotStored(LocalError):
    """A cold segment cannot be stored at present: a full or failing disk."""

    exit_code = EXIT_TRY_AGAIN


class SegmentChanged(LocalError):
    """The file of a cold segment vanished, shrank or changed while it was sent."""


class StatementFailed(LocalError):
    """A statement that the caller asked for was refused by the database.

    Attributes:
        sql: The statement's text.
        number: Which one it was among those handed over, from 1.
    """

    def __init__(self, message: str, sql: str, number: int = 1) -> None:
        super().__init__(message)
        self.sql = sql
        self.number = number


class NotReplayable(StatementFailed):
    """A statement whose effect would not be the same on a copy; the message says what to write instead."""


class LoggedNotApplied(LocalError):
    """A statement is in the log, durable, and not yet in the database; it will be, so it must not be repeated.

    Attributes:
        position: The position in the log behind it.
    """

    exit_code = EXIT_TRY_AGAIN

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Overloaded(LocalError):
    """More is waiting than may wait."""

    exit_code = EXIT_TRY_AGAIN


class WaitTimeout(LocalError):
    """A position was not reached within the time allowed."""

    exit_code = EXIT_TRY_AGAIN


class ServiceStopped(LocalError):
    """The service was stopped before what was asked for came about."""

    exit_code = EXIT_UNAVAILABLE

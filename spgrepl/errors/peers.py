"""Errors of connections, and of what a log asks an engine to do."""

from __future__ import annotations

from spgrepl.errors.base import EXIT_OTHER_HISTORY, EXIT_REFUSED, EXIT_TRY_AGAIN, EXIT_UNAVAILABLE, PeerError
from spgrepl.errors.shown import shown_sql


class PeerClosed(PeerError):
    """The peer closed the connection before it was done."""

    exit_code = EXIT_UNAVAILABLE


class PeerTimeout(PeerError):
    """The peer did not do in time what the protocol expects of it."""

    exit_code = EXIT_TRY_AGAIN


class TlsFailed(PeerError):
    """A connection by TLS did not come about: a certificate is not taken, or the other side speaks no TLS."""

    exit_code = EXIT_REFUSED


class HistoryDiverged(PeerError):
    """The master's log is not the one that this copy was made from, or was reset."""

    exit_code = EXIT_OTHER_HISTORY


class LogTruncated(HistoryDiverged):
    """The master's log ends before the position that this copy has reached."""


class StartLost(HistoryDiverged):
    """The log grew after a start that cannot be asked for again."""


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
        conflict: For a row that does not find what it must find: ``insert_exists``, ``update_exists``,
            ``update_missing``, ``delete_missing`` or ``table_cleared``; None for any other refusal.
    """

    def __init__(self, index: int, sql: bytes, reason: str, conflict: str | None = None) -> None:
        super().__init__(f"the engine refused a statement: {reason}")
        self.index = index
        self.sql = sql
        self.reason = reason
        self.conflict = conflict

    def at(self, index: int) -> StatementRefused:
        """The same refusal, by its statement's index in another sequence."""
        return StatementRefused(index, self.sql, self.reason, self.conflict)


class ReplayStopped(PeerError):
    """Replay stands before a record that the engine refuses.

    Attributes:
        position: Where the record starts in the master's log.
        crc: The record's CRC-32 (that of its SQL where the format has none).
        sql: The statement, without passwords.
        reason: What the engine said.
        skip: The words that leave the record out.
    """

    def __init__(self, position: int, crc: int, sql: str, reason: str, skip: str | None = None) -> None:
        sql = shown_sql(sql)
        shown = sql if len(sql) <= 300 else sql[:300] + "…"
        skip = skip or f"--skip-at {position} --skip-crc {crc:08x}"
        super().__init__(
            f"replay stopped at position {position}, CRC {crc:08x}: the engine refuses {shown!r}: {reason}. "
            f"Fix the copy, or skip exactly this record with {skip}"
        )
        self.position = position
        self.crc = crc
        self.sql = sql
        self.reason = reason
        self.skip = skip

"""What replay asks of the place where a log is applied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
from zope.interface import Attribute, Interface

from spgrepl.base.histories import History
from spgrepl.log.format.records import RecordType


@attrs.frozen
class Fence:
    """What the log's bytes just before a position were, so that a different history is recognised.

    Attributes:
        start: Position of the first byte covered: a record's first byte, or 1 for the first record of all, since
            a stream from 0 cannot be asked for; or any byte before the snapshot that the copy was made from.
        crc: CRC-32 of the log's bytes from `start` up to the applied position.
    """

    start: int
    crc: int


@attrs.frozen
class Mark:
    """What the log's bytes were somewhere before a position: further back than the fence.

    Attributes:
        start: Position of the first byte covered, above 0.
        stop: The position after the last one.
        crc: CRC-32 of the log's bytes between the two.
    """

    start: int
    stop: int
    crc: int


@attrs.frozen
class TransactionNotes:
    """What a copy has to know of transactions, and what was counted of them since its snapshot.

    Attributes:
        opened_by: Where the record starts, in the master's log, that opened the transactions that are open: their
            statements are not applied yet, all else up to the position is. None where none is open.
        dropped: Where the transactions began that were taken for dead last; None while there were none.
        alone: Records that were committed by themselves inside of open transactions.
        commits: Ends that had no BEGIN: COMMIT.
        rollbacks: Ends that had no BEGIN: ROLLBACK.
        merged: Groups of transactions whose ends differ, and which took effect as a whole.
        drops: How many groups of transactions were taken for dead.
        met: Records that the snapshot held already.
        alone_to: Up to where the copy holds already what records did that were committed by themselves: its
            snapshot was taken inside of open transactions, and its log begins where these do. None after that
            position.
    """

    opened_by: int | None = None
    dropped: int | None = None
    alone: int = 0
    commits: int = 0
    rollbacks: int = 0
    merged: int = 0
    drops: int = 0
    met: int = 0
    alone_to: int | None = None


NO_NOTES = TransactionNotes()


@attrs.frozen
class ReplayState:
    """How far an engine's copy has come. It is stored in the transaction that moves the rows.

    Attributes:
        position: The position in the master's log up to which the copy holds everything.
        base: The position in the master's log that the copy's snapshot stands at; the local log begins there.
        fence: What the log looked like just before `position`; None while nothing has been applied since `base`,
            where the bytes before `base` could not be had.
        pair: The id by which the local log is known to be the copy's, see `spgrepl.pairs.pair`; an engine stores
            it with the rest. None where an earlier version has stored the state.
        marks: What the log looked like further back, in rising position.
        diverged: Why the master's history is known to be a different one; None where nothing is known against it.
            Only a fresh snapshot makes it None again.
        histories: Whose positions count here, as far as the snapshot told; see `spgrepl.base.histories`. At a
            primary, those before its own.
        notes: What there is to know of transactions; an engine stores it with the rest.
    """

    position: int
    base: int
    fence: Fence | None = None
    pair: str | None = None
    marks: tuple[Mark, ...] = ()
    diverged: str | None = None
    histories: tuple[History, ...] = ()
    notes: TransactionNotes = NO_NOTES

    def moved(self, position: int, fence: Fence) -> ReplayState:
        """The same at another position; a primary asks for it with each group."""
        return ReplayState(
            position, self.base, fence, self.pair, self.marks, self.diverged, self.histories, self.notes
        )

    @property
    def resumes_at(self) -> int:
        """The position from which on a copy of the copy reads the log: where what is open begins."""
        return self.position if self.notes.opened_by is None else self.notes.opened_by

    @property
    def alone_to(self) -> int:
        """The position up to which the copy holds what records did that were committed by themselves."""
        return max(self.position, self.notes.alone_to or 0)


class IEngine(Interface):
    """A place where a log is applied: a database, an archive, a counter.

    An engine is blocking and is used from one thread only, which `spgrepl.base.worker.EngineWorker` owns: no
    method is ever called while another one runs. Everything between `begin` and `commit` becomes visible and
    durable together with the state that is handed to `commit`, or not at all, whatever kills the process.
    """

    name = Attribute("The engine's name as users write it, such as ``sqlite``.")

    applies = Attribute(
        "Whether statements take effect. Where they do not, `execute` gets every SQL of the log as it stands, "
        "transaction control and rolled-back work included, each exactly once committed."
    )

    def open() -> ReplayState | None:
        """Open the files. The owner has locked them against a second process.

        Returns:
            How far the copy has come, or None where there is no copy yet.

        Raises:
            LocalFilesDamaged: The files cannot be used; the message says what to do.
        """

    def begin() -> None:
        """Start a transaction. None is open."""

    def execute(statements: Sequence[bytes], types: Mapping[int, RecordType]) -> None:
        """Apply statements, in order, inside the open transaction.

        Args:
            statements: SQL in UTF-8. SAVEPOINT, ROLLBACK TO and RELEASE do come, BEGIN, COMMIT and ROLLBACK only
                where one item holds a whole transaction: an item may hold several statements.
            types: The record types of those that are not one statement in SPG's own dialect, by index:
                `RecordType.MYSQL` and `RecordType.TRANSACTION`.

        Raises:
            StatementRefused: A statement failed; its index says which. The transaction must be rolled back.
            EngineFailed: Nothing can be stored at present. The transaction must be rolled back.
        """

    def control(statement: bytes) -> None:
        """Take a statement that replication itself understands (PROTOCOL section 5), inside the transaction.

        Publications and subscriptions are noted in the engine's own catalogue; nothing is started.

        Raises:
            StatementRefused: The statement cannot be read; its index is 0.
        """

    def commit(state: ReplayState) -> None:
        """Make everything since `begin` durable together with `state`, and end the transaction.

        Raises:
            EngineFailed: It could not be stored. The transaction must be rolled back.
        """

    def rollback() -> None:
        """Undo everything since `begin`; nothing happens when no transaction is open."""

    def check_snapshot_head(head: bytes) -> None:
        """Look whether a snapshot that has begun to arrive is of a kind that this engine can use.

        Called from the reactor's thread; must not block. A snapshot of many gigabytes is refused by its first
        bytes, not after the last.

        Args:
            head: The snapshot's first 16 bytes, or all of it where it is shorter.

        Raises:
            SnapshotError: It is not; the message says what was found and what to do.
        """

    def check_snapshot(path: Path) -> None:
        """Look whether a received snapshot can be put in place.

        Raises:
            SnapshotError: It cannot; the message says what was found and what to do.
        """

    def install_snapshot(path: Path, state: ReplayState) -> None:
        """Replace the whole copy by a snapshot, with `state`, atomically: a crash leaves the old copy or the new.

        Args:
            path: A file on the same file system, which was checked; it is consumed.
            state: The state that the new copy has.
        """

    def save_snapshot(path: Path) -> int:
        """Write a consistent snapshot of the copy, for a follower of this follower, without stopping readers.

        Called from another thread than the engine's own, while the engine goes on applying.

        Args:
            path: The file to write; it does not exist.

        Returns:
            The position in the *local* log that the snapshot stands at.

        Raises:
            SnapshotError: The engine has none to give.
        """

    def attach_segment(segment_id: int, path: Path) -> None:
        """Take note of a cold segment that is in place: whole, checked and durable.

        May be called inside a transaction, which it does not belong to, before there is a copy, and again for
        the same segment: then its file was replaced, or the follower was started again.

        Args:
            segment_id: The segment's id.
            path: Its file.

        Raises:
            EngineFailed: Nothing can be stored at present.
        """

    def statistics() -> Mapping[str, object]:
        """What the engine adds to the status: ``statements`` (applied since start), ``attached`` (segments), more.

        Called from the reactor's thread; must not block.
        """

    def interrupt() -> None:
        """End a statement that runs, because the engine is to be closed: its call raises `EngineFailed`.

        Called from another thread than the engine's own, at any time. What is called afterwards may raise
        `EngineFailed` too, until `open`. Nothing happens where nothing can take long.
        """

    def close() -> None:
        """Close the files. An open transaction is rolled back; nothing happens when they are not open."""


class IOwnRows(Interface):
    """An engine that begins with snapshots whose position may lie in front of records that are in them."""

    def expect_own_rows(expected: bool) -> None:
        """Say whether the statements that come may be in the snapshot already: each of them, up to the next word.

        One that meets its own row, or breaks another constraint between rows, then changes nothing and is counted.
        """

    def take_met() -> int:
        """How many statements were in the snapshot, since this was asked for the last time."""


class IClocked(Interface):
    """An engine, or a target, that may have to know what time it was at the master."""

    def tell_clock(clock: Callable[[int], int | None]) -> None:
        """Take who knows the time, before each `IEngine.execute`.

        Args:
            clock: Called during `IEngine.execute`, in its thread, with a statement's index in the sequence:
                returns the time of its record where that carries one, else the master's last STATUS, in
                microseconds since the epoch; None where neither is known.
        """


class IRemote(Interface):
    """What another process keeps: a connection to it can be lost."""

    def look() -> None:
        """See that the connection is still there, without asking anything; called while nothing is done.

        Raises:
            EngineFailed: It is lost.
            DatabaseLocked: Another process works under this name.
        """


class IRemoteEngine(IEngine, IRemote):
    """An engine whose copy another process keeps: with a connection, the answer to a COMMIT can be lost."""

    def reopen() -> ReplayState | None:
        """Make sure that the copy is there, and tell how far it has come. No transaction is open.

        Called before each stream is asked for: the one before may have ended in the middle of a COMMIT.

        Raises:
            EngineFailed: It cannot be reached at present.
        """

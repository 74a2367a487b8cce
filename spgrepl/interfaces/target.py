"""What a subscriber asks of the place where it applies what it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from zope.interface import Attribute, Interface

from spgrepl.base.histories import History
from spgrepl.interfaces.engine import IRemote, Mark
from spgrepl.log.format.records import RecordType


@attrs.frozen
class FenceRecord:
    """A record that was applied, so that a different history is recognised.

    Attributes:
        position: Where it starts in the master's log.
        crc: The CRC-32 of all its bytes, header included.
    """

    position: int
    crc: int


@attrs.frozen
class SubscriptionState:
    """How far a subscription has come. It is stored in the transaction that moves the rows.

    Attributes:
        publications: The publications that are asked for.
        effective_start: The position that the subscription began at, stored before its first record; where it asks
            for other publications since, the position that it had come to by then.
        position: The position in the master's log up to which everything published is in the target.
        fence: The last records that were applied, in rising position; together 512 bytes at least, where there
            are so many since the start.
        master: The master's cluster id; None where an earlier version has stored the state, or the master has not
            answered since the copy.
        diverged: Why the master's history is known to be a different one; None where nothing is known against it.
        histories: Whose positions the master's are, as far as that is known; see `spgrepl.base.histories`.
        alone_to: Up to where the copied rows hold already what records did that were committed by themselves; see
            `spgrepl.interfaces.engine.TransactionNotes`. None after that position.
        marks: Records further back, in rising position: the first one that came, and one for each 64 MiB.
        before_copy: The bytes of the master's log before the snapshot that rows were copied from; None where none
            were, or the master did not send them.
    """

    publications: tuple[str, ...]
    effective_start: int
    position: int
    fence: tuple[FenceRecord, ...] = ()
    master: int | None = None
    diverged: str | None = None
    histories: tuple[History, ...] = ()
    alone_to: int | None = None
    marks: tuple[FenceRecord, ...] = ()
    before_copy: Mark | None = None

    @property
    def quiet_bytes(self) -> int:
        """How many bytes of the master's log came since the last record of it began, or since the start."""
        return self.position - (self.fence[-1].position if self.fence else self.effective_start)


class ITarget(Interface):
    """A place that takes the rows of a subscription, and remembers how far it has come.

    A target is blocking and is used from one thread only (`spgrepl.base.worker.EngineWorker`). Everything
    between `begin` and `commit` becomes visible and durable together with the state that is handed to `commit`, or
    not at all, whatever kills the process. A target is made for one subscription, whose name it knows.
    """

    kind = Attribute("The target's kind as users write it, such as ``sqlite``.")
    files = Attribute(
        "A tuple of the paths that must stay in place while rows are put in; empty where there are none."
    )

    def open() -> SubscriptionState | None:
        """Open the files for looking; nothing is made or changed.

        Returns:
            How far the subscription has come; None where it has not begun here.

        Raises:
            LocalFilesDamaged: The files cannot be used; the message says what to do.
            ConfigurationError: Rows may not be written here: it is a primary's database or a follower's copy.
        """

    def start(state: SubscriptionState) -> None:
        """Begin the subscription: store its state, durably. Own tables are made where they are missing.

        Raises:
            ConfigurationError: Rows may not be written here: it is a primary's database or a follower's copy.
            EngineFailed: It could not be stored.
        """

    def check_snapshot_head(head: bytes) -> None:
        """Look whether a snapshot that has begun to arrive is of a kind that rows can be copied from.

        Called from the reactor's thread; must not block.

        Args:
            head: The snapshot's first 16 bytes, or all of it where it is shorter.

        Raises:
            SnapshotError: It is not; the message says what was found and what to do.
        """

    def copy_snapshot(
        path: Path,
        publications: Sequence[str],
        position: int,
        segments: Path | None = None,
        before: Mark | None = None,
    ) -> SubscriptionState:
        """Put the rows of the published tables in a snapshot into the target, and begin the subscription there.

        Tables that are missing are made. All of it is one transaction: a crash leaves nothing.

        Args:
            path: The snapshot, a SQLite database of a master of this package, with its catalogue.
            publications: The publications that are asked for; none at all means every table.
            position: The position in the master's log that the snapshot stands at.
            segments: Where the cold segments of an SPG server's snapshot are; None for beside it.
            before: What stands before the position in the master's log; None where that is not known.

        Returns:
            The state that was stored: `position` is its position and its effective start.

        Raises:
            CopyRefused: Its rows cannot be copied; the message says what to do.
            SnapshotError: The snapshot is damaged.
            TableMismatch: A table of that name is there, and differs or holds rows.
            ConfigurationError: As for `start`.
            EngineFailed: The disk refuses.
        """

    def begin() -> None:
        """Start a transaction. None is open."""

    def execute(statements: Sequence[bytes], types: Mapping[int, RecordType], rows: bool = False) -> None:
        """Apply records, in order, inside the open transaction.

        Args:
            statements: The SQL of one record each, in UTF-8; a record may hold several statements.
            types: The record types of those that are not one statement in SPG's own dialect, by index:
                `RecordType.MYSQL` and `RecordType.TRANSACTION`.
            rows: Whether each is one row that changed, and no statement: it must find what it changes, and
                nothing else changes with it.

        Raises:
            StatementRefused: A record failed; its index says which. The transaction must be rolled back.
            EngineFailed: Nothing can be stored at present. The transaction must be rolled back.
        """

    def keep_skipped(position: int, record: bytes, sql: bytes, reason: str) -> None:
        """Keep a record that was refused, whole, with the time and the reason, inside the open transaction.

        Args:
            position: Where it starts in the master's log.
            record: All its bytes, header included.
            sql: Its SQL.
            reason: Why it was refused.
        """

    def commit(state: SubscriptionState) -> None:
        """Make everything since `begin` durable together with `state`, and end the transaction.

        Raises:
            EngineFailed: It could not be stored. The transaction must be rolled back.
        """

    def rollback() -> None:
        """Undo everything since `begin`; nothing happens when no transaction is open."""

    def statistics() -> Mapping[str, object]:
        """What the target adds to the status: ``statements`` (applied since start), ``skipped``, and more.

        Called from the reactor's thread; must not block.
        """

    def interrupt() -> None:
        """End a statement that runs, because the target is to be closed: its call raises `EngineFailed`.

        Called from another thread, at any time; see `IEngine`.
        """

    def close() -> None:
        """Close the files. An open transaction is rolled back; nothing happens when they are not open."""


class IRemoteTarget(ITarget, IRemote):
    """A target that another process keeps: with a connection, the answer to a COMMIT can be lost."""

    def reopen() -> SubscriptionState | None:
        """Make sure that the target is there, and tell what it has stored. No transaction is open.

        Called before each stream is asked for: the one before may have ended in the middle of a COMMIT.

        Raises:
            EngineFailed: It cannot be reached at present.
            TableMismatch: A table that was copied is another one now.
        """

"""What replay asks of the place where a log is applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from zope.interface import Attribute, Interface

from spgrepl.wal.records import RecordType


@attrs.frozen
class Fence:
    """What the log's bytes just before a position were, so that another history is recognised.

    Attributes:
        start: Position of the first byte covered: a record's first byte, above 0.
        crc: CRC-32 of the log's bytes from `start` up to the applied position.
    """

    start: int
    crc: int


@attrs.frozen
class ReplayState:
    """How far an engine's copy has come. It is stored in the transaction that moves the rows.

    Attributes:
        position: The position in the master's log up to which the copy holds everything.
        base: The position in the master's log that the copy's snapshot stands at; the local log begins there.
        fence: What the log looked like just before `position`; None while nothing has been applied since `base`.
    """

    position: int
    base: int
    fence: Fence | None = None


class IEngine(Interface):
    """A place where a log is applied: a database, an archive, a counter.

    An engine is blocking and is used from one thread only, which `spgrepl.engines.worker.EngineWorker` owns: no
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

    def close() -> None:
        """Close the files. An open transaction is rolled back; nothing happens when they are not open."""

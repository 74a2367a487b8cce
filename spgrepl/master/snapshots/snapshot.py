"""Snapshots for followers that have nothing: made in a thread, shared, sent from an unlinked temporary file."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from spgrepl.base.reading import FileReader, RunInThread
from spgrepl.base.steady_clock import steady_clock
from spgrepl.errors import ConnectionRefused, ServiceStopped, SnapshotError, SpgReplError
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.snapshots.sources import LoggedDatabase
from spgrepl.master.snapshots.spool import SpoolFolder
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

SETTLE_SECONDS = 5.0
"""How long a snapshot may stand ahead of the published log, which is looked at 20 times a second."""


@attrs.frozen
class OpenSnapshot:
    """A snapshot that can be sent.

    Attributes:
        length: Its length in bytes, above 0.
        position: The position in the log that it stands at.
        reader: Reads it.
    """

    length: int
    position: int
    reader: FileReader


@attrs.frozen
class _Spooled:
    """What the thread hands back: an open descriptor of a file that has no name any more."""

    handle: int
    length: int
    position: int


@attrs.define(eq=False)
class _Entry:
    """One snapshot and those who want it.

    Attributes:
        started: When its making began, by the reactor's clock.
        tickets: Those who want it, in the order in which they asked.
        opened: The snapshot, once it can be sent.
        ahead: The snapshot, while it stands ahead of the published log.
        patience: Ends the wait for the log.
        stale: Whether the log that it belongs to is lost.
    """

    started: float
    tickets: dict[SnapshotTicket, None] = attrs.Factory(dict)
    opened: OpenSnapshot | None = None
    ahead: OpenSnapshot | None = None
    patience: IDelayedCall | None = None
    stale: bool = False


class SnapshotTicket:
    """One connection's share in a snapshot.

    Attributes:
        ready: Fires with the `OpenSnapshot`, or fails with a `SpgReplError`; silent after `release`.
    """

    def __init__(self, release: Callable[[SnapshotTicket], None]) -> None:
        self.ready: Deferred[OpenSnapshot] = Deferred()
        self._release = release
        self._settled = False

    def give(self, result: OpenSnapshot | Failure) -> None:
        """Tell the holder, unless that was done or the share was given back (called by the store)."""
        if not self._settled:
            self._settled = True
            self.ready.callback(result)

    def release(self) -> None:
        """Give the share back; the last one closes the file. May be called at any time, and twice."""
        self._settled = True
        self._release(self)


class SnapshotStore:
    """Makes snapshots when followers need them, as few as possible.

    A follower shares a snapshot that is being made, or one that is being sent and still young; with all slots
    taken, the youngest of any age.

    Args:
        clock: Tells the age of snapshots.
        in_thread: Runs the making.
        database: What they are made of, and the log that they belong to.
        spool: Where they are written.
        limits: How many there may be, and how long they count as young.

    Attributes:
        spool: Where they are written.
    """

    _log = RoleLogger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: RunInThread,
        database: LoggedDatabase,
        spool: SpoolFolder,
        limits: MasterLimits,
    ) -> None:
        self._clock = steady_clock(clock)
        self._in_thread = in_thread
        self._source = database.snapshots
        self.spool = spool
        self._wal = database.log
        self._limits = limits
        self._entries: list[_Entry] = []
        self.made = 0
        self.shared = 0
        self.failed = 0

    def open(self) -> None:
        """Clear what killed processes left behind, in a thread."""
        self._in_thread(self.spool.clear_leftovers).addErrback(
            lambda failure: self._log.failure("cannot clear the spool folder", failure=failure)
        )

    def obtain(self) -> SnapshotTicket:
        """Ask for a snapshot.

        Returns:
            A ticket, which must be released.

        Raises:
            ConnectionRefused: All slots are taken by snapshots that cannot be shared.
        """
        shared = self._entry_to_share()
        entry = _Entry(self._clock.seconds()) if shared is None else shared
        ticket = SnapshotTicket(partial(self._release, entry))
        entry.tickets[ticket] = None
        if shared is None:
            self._make(entry)
        else:
            self.shared += 1
            if shared.opened is not None:
                ticket.give(shared.opened)
        return ticket

    def log_grew(self) -> None:
        """See whether the log has come to where a snapshot stands."""
        for entry in tuple(self._entries):
            if entry.ahead is not None and entry.ahead.position <= self._wal.length:
                self._publish(entry, entry.ahead)

    def invalidate(self, reason: SpgReplError) -> None:
        """Give out no present snapshot any more, and tell those who wait why: their log is lost."""
        for entry in tuple(self._entries):
            entry.stale = True
            if entry.ahead is not None:
                self._drop(entry, reason)
            elif entry.opened is None:
                self._fail_tickets(entry, reason)

    def close(self) -> Deferred[None]:
        """End: nobody is given anything any more. A snapshot being made is thrown away when it is done."""
        self.invalidate(ServiceStopped("the master was stopped while a snapshot was being made"))
        return self._in_thread(self.spool.close)

    def status(self) -> dict[str, int]:
        """Counters and numbers for the status."""
        sending = sum(entry.opened is not None for entry in self._entries)
        return {
            "made": self.made,
            "shared": self.shared,
            "failed": self.failed,
            "making": len(self._entries) - sending,
            "open": sending,
        }

    # -- one snapshot's life --------------------------------------------------------------------------------

    def _entry_to_share(self) -> _Entry | None:
        youngest = max(
            (entry for entry in self._entries if not entry.stale), key=lambda entry: entry.started, default=None
        )
        full = len(self._entries) >= self._limits.snapshots
        if youngest is None:
            if full:
                raise ConnectionRefused(
                    f"{number_of(self._limits.snapshots, 'snapshot belongs', 'snapshots belong')}, as many as may "
                    f"exist at once, to a log that was lost meanwhile; try again"
                )
            return None
        young = self._clock.seconds() - youngest.started < self._limits.snapshot_age
        return youngest if full or young or youngest.opened is None else None

    def _make(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._in_thread(self._spool_one).addCallbacks(
            self._made, self._not_made, callbackArgs=(entry,), errbackArgs=(entry,)
        ).addErrback(self._not_handed_out, entry)

    def _spool_one(self) -> _Spooled:
        """Write a snapshot, open it and take its name away; runs in a thread."""
        path = self.spool.new_path()
        try:
            position = self._source.save(path)
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            path.unlink(missing_ok=True)
        return _Spooled(handle, os.fstat(handle).st_size, position)

    def _made(self, spooled: _Spooled, entry: _Entry) -> None:
        reader = FileReader(spooled.handle, "the snapshot", self._in_thread)
        snapshot = entry.ahead = OpenSnapshot(spooled.length, spooled.position, reader)
        self.made += 1
        if not self._wal.known:
            # It may hold the copy that is being put in place, whose log begins again at 0.
            self._fail(
                entry, SnapshotError("the log that the snapshot belongs to is not known any more; try again")
            )
        elif entry.stale or not entry.tickets:
            self._entries.remove(entry)
            entry.ahead = None
            reader.close()
        elif not spooled.length:
            self._fail(entry, SnapshotError("the snapshot is empty, which no follower can tell from having none"))
        elif spooled.position <= self._wal.length:
            self._publish(entry, snapshot)
        else:
            entry.patience = self._clock.callLater(SETTLE_SECONDS, self._log_did_not_come, entry)

    def _not_made(self, failure: Failure, entry: _Entry) -> None:
        error = failure.value
        if not isinstance(error, SpgReplError):
            if not isinstance(error, OSError):
                self._log.failure("the snapshot failed", failure=failure)
            error = SnapshotError(f"the snapshot could not be made: {error}")
        if entry.stale:
            self._entries.remove(entry)
        else:
            self._fail(entry, error)

    def _not_handed_out(self, failure: Failure, entry: _Entry) -> None:
        """A defect, or a source that returns something else than it should: nobody waits for that."""
        self._log.failure("cannot hand out a snapshot", failure=failure)
        self._fail(entry, SnapshotError(f"the snapshot cannot be handed out: {failure.getErrorMessage()}"))

    def _log_did_not_come(self, entry: _Entry) -> None:
        assert entry.ahead is not None
        entry.patience = None
        self._fail(
            entry,
            SnapshotError(
                f"the snapshot stands at position {entry.ahead.position}, the log ends at {self._wal.length} and "
                f"no longer holds what follows the snapshot; check that database and log belong together"
            ),
        )

    def _publish(self, entry: _Entry, snapshot: OpenSnapshot) -> None:
        self._stop_waiting(entry)
        entry.ahead, entry.opened = None, snapshot
        self._log.info(
            "a snapshot of {length} at position {position} is ready for {connections}",
            length=number_of(snapshot.length, "byte"),
            position=snapshot.position,
            connections=number_of(len(entry.tickets), "connection"),
        )
        for ticket in tuple(entry.tickets):
            ticket.give(snapshot)

    def _fail(self, entry: _Entry, error: SpgReplError) -> None:
        self.failed += 1
        self._log.error("no snapshot: {reason}", reason=str(error))
        self._drop(entry, error)

    def _drop(self, entry: _Entry, error: SpgReplError) -> None:
        self._stop_waiting(entry)
        if entry in self._entries:
            self._entries.remove(entry)
        if entry.ahead is not None:
            entry.ahead.reader.close()
            entry.ahead = None
        self._fail_tickets(entry, error)

    def _fail_tickets(self, entry: _Entry, error: SpgReplError) -> None:
        for ticket in tuple(entry.tickets):
            ticket.give(Failure(error))

    def _stop_waiting(self, entry: _Entry) -> None:
        if entry.patience is not None:
            entry.patience.cancel()
            entry.patience = None

    def _release(self, entry: _Entry, ticket: SnapshotTicket) -> None:
        entry.tickets.pop(ticket, None)
        if entry.tickets or entry not in self._entries:
            return
        ready = entry.opened or entry.ahead
        if ready is not None:
            self._stop_waiting(entry)
            self._entries.remove(entry)
            ready.reader.close()

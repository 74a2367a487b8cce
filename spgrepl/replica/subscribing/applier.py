"""Applying what a subscriber gets: records into the target, the position with them. Blocking, in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import attrs

from spgrepl.base.histories import History
from spgrepl.base.measures import SECONDS, Histogram
from spgrepl.compiled.texts import has_empty, part_of
from spgrepl.disk.file_lock import LockFile
from spgrepl.errors import EngineFailed, ReplayStopped, ServiceStopped, StatementRefused
from spgrepl.errors.shown import shown_bytes, shown_sql
from spgrepl.interfaces.engine import IClocked, Mark
from spgrepl.interfaces.target import IRemoteTarget, ITarget, SubscriptionState
from spgrepl.log.format.records import decode_record
from spgrepl.log.transactions.steps import is_alone
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.subscribing.fence import fence_after_all
from spgrepl.replica.subscribing.marks import further_marks
from spgrepl.replica.subscribing.origins import OriginFilter
from spgrepl.replica.subscribing.portions import Portion, crc_of, place_of, safe_stop
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.text.log_words import sql_for_log, without_values
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.record_frames import RecordFrames

_ANY_LENGTH = 2**32
_FORMAT_BITS = 0xC0
_V2_BITS = 0x80


QUIET_BYTES = 1024 * 1024
"""After so many bytes of the master's log without a record, and whenever they have doubled, that is logged."""


class Applier:
    """Takes records into a target, each exactly once.

    Args:
        target: Where they are applied.
        subscription: What is subscribed to, and what becomes of records that are refused.
        lock: The file that keeps a second process away from this subscription; None for no lock.
        origins: Says which rows are wanted; None for all.

    Attributes:
        target: Where they are applied.
        subscription: What is subscribed to.
        master_time: The master's clock at its last STATUS, in microseconds since the epoch; None before the first.
        commit_seconds: How long the target takes to commit.
    """

    _log = RoleLogger()

    def __init__(
        self,
        target: ITarget,
        subscription: Subscription,
        lock: Path | None = None,
        origins: OriginFilter | None = None,
    ) -> None:
        self._target = self.target = target
        self.subscription = subscription
        self._publications = subscription.publications
        self._lock = None if lock is None else LockFile(lock, "subscription")
        self._skip = subscription.skip
        self._keep_refused = subscription.keep_refused
        self._origins = origins
        self._how_to_skip = subscription.how_to_skip
        self._state: SubscriptionState | None = None
        self._opened = False
        self._quiet_told = 0
        self._clocked: IClocked | None = IClocked(target, None)
        self.master_time: int | None = None
        self.commit_seconds = Histogram(SECONDS)

    @property
    def state(self) -> SubscriptionState | None:
        """How far the subscription has come; None where it has not begun."""
        return self._state

    def open(self) -> SubscriptionState | None:
        """Lock the subscription, and look how far it has come. Nothing is made or changed in the target.

        Raises:
            DatabaseLocked: Another process runs this subscription.
            LocalFilesDamaged: The target cannot be used.
        """
        if self._lock is not None:
            self._lock.acquire()
        try:
            self._state = self._target.open()
        except BaseException:
            if self._lock is not None:
                self._lock.withdraw()
            raise
        self._opened = True
        if self._state is not None and self._state.publications != self._publications:
            self._log.warn(
                "the subscription asked for {before}, and asks for {now} from position {position} on: rows that "
                "are there already are not copied",
                before=_listed(self._state.publications),
                now=_listed(self._publications),
                position=self._state.position,
            )
        return self._state

    def close(self) -> None:
        """Close the target, and let go of the lock."""
        self._opened = False
        self._target.close()
        if self._lock is not None:
            self._lock.release()

    def interrupt(self) -> None:
        """End a statement that runs in the target; see `ITarget.interrupt`. May be called in any thread."""
        self._target.interrupt()

    def reopen(self) -> None:
        """Before a stream is asked for: look again at a target that another process keeps."""
        if self._opened and IRemoteTarget.providedBy(self._target):
            self._state = self._target.reopen()

    def start(self, position: int) -> SubscriptionState:
        """Begin the subscription at a position: stored before anything is received.

        Raises:
            ConfigurationError: Rows may not be written into this target.
            EngineFailed: It could not be stored.
        """
        self._require_open()
        master = None if self._origins is None else self._origins.master
        state = SubscriptionState(self._publications, position, position, master=master)
        self._target.start(state)
        self._state = state
        return state

    def copy(
        self, snapshot: Path, position: int, segments: Path | None = None, before: Mark | None = None
    ) -> SubscriptionState:
        """Begin the subscription with the rows of a snapshot; see `ITarget.copy_snapshot`."""
        self._require_open()
        self._state = self._target.copy_snapshot(snapshot, self._publications, position, segments, before)
        return self._state

    def note(self, state: SubscriptionState) -> SubscriptionState:
        """Store a state that says more, or less, of the master's history.

        Raises:
            EngineFailed: It could not be stored.
        """
        self._require_open()
        self._target.begin()
        try:
            self.commit_seconds.time(self._target.commit, state)
        except BaseException:
            self._target.rollback()
            raise
        self._state = state
        return state

    def know(self, histories: tuple[History, ...]) -> SubscriptionState | None:
        """Store whose positions the master's are, where that is new; returns the state, None where it is not."""
        state = self._state
        if not self._opened or state is None or state.histories == histories:
            return None
        return self.note(attrs.evolve(state, histories=histories))

    def skip(self, request: SkipRequest) -> None:
        """Leave a record out when it comes, once."""
        self._skip = request

    def _require_open(self) -> None:
        if not self._opened:
            raise ServiceStopped("the subscription is being stopped")

    # -- applying ---------------------------------------------------------------------------------------------

    def apply(self, portions: Sequence[Portion]) -> SubscriptionState:
        """Apply records that follow those of the last call, in one transaction of the target.

        Returns:
            The state that was committed.

        Raises:
            ReplayStopped: The target refuses a record; what stands before it is kept.
            EngineFailed: The target cannot store anything at present; nothing of this call is kept.
        """
        self._require_open()
        todo = list(portions)
        if self._origins is not None:
            self._origins.sift(todo)
        while todo:
            todo = self._apply_once(todo)
        assert self._state is not None
        return self._state

    def _apply_once(self, portions: list[Portion]) -> list[Portion]:
        """Apply all, or what stands before a record that is at fault; returns what is left to do."""
        self._leave_skipped_out(portions)
        self._leave_copied_out(portions)
        done = 0
        try:
            self._target.begin()
            for portion in portions:
                self._execute(portion)
                done += 1
            self._commit(portions)
        except StatementRefused as refused:
            self._target.rollback()
            number, index = place_of(portions, done, refused.index)
            return self._refused(portions, number, index, refused)
        except BaseException:
            self._target.rollback()
            raise
        return []

    def _execute(self, portion: Portion) -> None:
        """Hand the records of a portion to the target; a refusal names one by its index in the portion."""
        frames, first, stop = portion.frames, portion.first, portion.stop
        begin = frames.first_row(first, stop)
        if first < begin < stop:
            self._execute_alike(frames, first, begin, rows=False)
            try:
                self._execute_alike(frames, begin, stop, rows=True)
            except StatementRefused as refused:
                raise refused.at(refused.index + begin - first) from refused
        else:
            self._execute_alike(frames, first, stop, rows=begin == first)

    def _execute_alike(self, frames: RecordFrames, first: int, stop: int, rows: bool) -> None:
        """Hand over records that are all rows, or all statements."""
        statements = cast("Sequence[bytes]", part_of(frames.sql, first, stop))
        if self._clocked is not None and not rows:
            self._clocked.tell_clock(lambda index: self._time_of(frames, first + index))
        types = {index - first: kind for index, kind in frames.types.items() if first <= index < stop}
        if has_empty(statements):
            # Checkpoints and the like, which no master forwards, say nothing to a target.
            numbers = [number for number, sql in enumerate(statements) if sql]
            for number in numbers:
                if self._clocked is not None and not rows:
                    self._clocked.tell_clock(partial(self._time_at, frames, first + number))
                kind = {0: types[number]} if number in types else {}
                try:
                    self._target.execute([statements[number]], kind, rows)
                except StatementRefused as refused:
                    raise refused.at(number) from refused
        elif statements:
            self._target.execute(statements, types, rows)

    def _time_of(self, frames: RecordFrames, index: int) -> int | None:
        """What time it was at the master at a record: its own word, or the master's last one."""
        record = decode_record(frames.record(index), limit=_ANY_LENGTH)
        assert record is not None
        return self.master_time if record.commit_time is None else record.commit_time

    def _time_at(self, frames: RecordFrames, index: int, _: int) -> int | None:
        return self._time_of(frames, index)

    def _commit(self, portions: Sequence[Portion]) -> None:
        state = self._state
        assert state is not None
        if state.publications != self._publications:
            # What came before belongs to others, and need not come again.
            state = attrs.evolve(
                state, publications=self._publications, effective_start=state.position, fence=(), marks=()
            )
        parts = [(one.frames, one.first, one.stop) for one in portions]
        fence, marks = fence_after_all(state.fence, parts), further_marks(state.marks, parts)
        end = portions[-1].end if portions else state.position
        alone_to = state.alone_to if state.alone_to is not None and state.alone_to > end else None
        moved = attrs.evolve(state, position=end, fence=fence, alone_to=alone_to, marks=marks)
        self.commit_seconds.time(self._target.commit, moved)
        self._state = moved
        self._note_quiet(moved)

    def _note_quiet(self, state: SubscriptionState) -> None:
        """Say that nothing comes: the wire does not tell whether a publication is unknown, or was dropped."""
        quiet = state.quiet_bytes
        if quiet < QUIET_BYTES:
            self._quiet_told = 0
        elif quiet >= max(QUIET_BYTES, 2 * self._quiet_told):
            self._quiet_told = quiet
            self._log.warn(
                "nothing has come of {publications} in {quiet} bytes of the master's log: if rows were expected, "
                "look at SHOW PUBLICATIONS there; a publication that was dropped, or never made, adds nothing, "
                "and a subscriber is not told",
                publications=_listed(self._publications),
                quiet=quiet,
            )

    def _refused(
        self, portions: list[Portion], number: int, index: int, refused: StatementRefused
    ) -> list[Portion]:
        """Keep what stands before a refused record; then stop, or put it aside and go on."""
        portion = portions[number]
        frames = portion.frames
        stop = index if self._keep_refused else safe_stop(frames, portion.first, index)
        before = [*portions[:number], Portion(frames, portion.first, stop, frames.start_of(stop))]
        self._target.begin()
        try:
            for one in before:
                self._execute(one)
            if self._keep_refused:
                self._target.keep_skipped(
                    frames.start_of(index), frames.record(index), frames.sql[index], refused.reason
                )
                before.append(Portion(frames, index, index + 1, frames.end_of(index)))
            self._commit(before)
        except StatementRefused as other:
            # What went through a moment ago does not now: somebody else changes the target.
            self._target.rollback()
            raise EngineFailed(f"the target changes while records are applied: {other.reason}") from other
        except BaseException:
            self._target.rollback()
            raise
        start, crc, sql = frames.start_of(index), crc_of(frames, index), frames.sql[index]
        text = sql.decode("utf-8", "replace")
        if not self._keep_refused:
            raise ReplayStopped(start, crc, text, refused.reason, self._how_to_skip(start, crc)) from refused
        self._log.error(
            "the record at position {position}, CRC {crc:08x}, was refused and put aside: {reason}: {sql}",
            position=start,
            crc=crc,
            reason=without_values(refused.reason),
            sql=sql_for_log(shown_sql(text)),
        )
        rest = Portion(frames, index + 1, portion.stop, portion.end)
        return [rest, *portions[number + 1 :]]

    def _leave_skipped_out(self, portions: Sequence[Portion]) -> None:
        """Take the SQL away from the record that an operator ordered to skip: its bytes stay, for the fence."""
        wanted = self._skip
        if wanted is None:
            return
        for portion in portions:
            at = self._index_to_skip(portion, wanted)
            if at is not None:
                portion.frames.sql[at] = b""

    def _leave_copied_out(self, portions: Sequence[Portion]) -> None:
        """Take the SQL away from records whose effect was copied: they stand inside of what was open then."""
        assert self._state is not None
        alone_to = self._state.alone_to
        if alone_to is None:
            return
        for portion in portions:
            frames = portion.frames
            for index in range(portion.first, portion.stop):
                if frames.start_of(index) < alone_to and is_alone(frames.record(index)):
                    frames.sql[index] = b""

    def _index_to_skip(self, portion: Portion, wanted: SkipRequest) -> int | None:
        frames = portion.frames
        starts = ((index, frames.start_of(index)) for index in range(portion.first, portion.stop))
        at = next((index for index, start in starts if start == wanted.position), None)
        if at is None:
            return None
        crc = crc_of(frames, at)
        if crc != wanted.crc:
            self._log.error(
                "skipping at {position}: the record there has CRC {crc:08x}, not {wanted:08x}; it is applied",
                position=wanted.position,
                crc=crc,
                wanted=wanted.crc,
            )
            return None
        self._log.warn(
            "skipping the record at position {position}, CRC {crc:08x}, as ordered: {sql}",
            position=wanted.position,
            crc=crc,
            sql=sql_for_log(shown_bytes(frames.sql[at])),
        )
        return at


def _listed(publications: tuple[str, ...]) -> str:
    return ", ".join(publications) or "every table"

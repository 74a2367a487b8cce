"""Applying what a subscriber gets: records into the target, the position with them. Blocking, in a thread."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import attrs
from twisted.logger import Logger

from spgrepl.errors import EngineFailed, ReplayStopped, ServiceStopped, StatementRefused
from spgrepl.files import LockFile
from spgrepl.follower.replay import SkipRequest
from spgrepl.subscriber.fence import fence_behind
from spgrepl.subscriber.interfaces import ITarget, SubscriptionState
from spgrepl.wal.records import decode_record
from spgrepl.wire.record_frames import RecordFrames

_ANY_LENGTH = 2**32
_FORMAT_BITS = 0xC0
_V2_BITS = 0x80


@attrs.frozen
class Portion:
    """Some records of a SUB stream that may be committed together.

    Attributes:
        frames: Where they are.
        first: The index of the first one.
        stop: The index behind the last one.
        end: The position behind them, and behind what was passed over after them.
    """

    frames: RecordFrames
    first: int
    stop: int
    end: int


class Applier:
    """Takes records into a target, each exactly once.

    Args:
        target: Where they are applied.
        publications: The publications that the subscription asks for.
        lock: The file that keeps a second process away from this subscription; None for no lock.
        skip: A record to pass over, once.
        keep_refused: Whether a record that the target refuses is kept in a table of the target, and passed over.
    """

    _log = Logger()

    def __init__(
        self,
        target: ITarget,
        publications: tuple[str, ...],
        lock: Path | None = None,
        skip: SkipRequest | None = None,
        keep_refused: bool = False,
    ) -> None:
        self._target = target
        self._publications = publications
        self._lock = None if lock is None else LockFile(lock, "subscription")
        self._skip = skip
        self._keep_refused = keep_refused
        self._state: SubscriptionState | None = None
        self._opened = False

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
        self._opened = True
        self._state = self._target.open()
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

    def start(self, position: int) -> SubscriptionState:
        """Begin the subscription at a position: stored before anything is received.

        Raises:
            ConfigurationError: Rows may not be written into this target.
            EngineFailed: It could not be stored.
        """
        self._require_open()
        state = SubscriptionState(self._publications, position, position)
        self._target.start(state)
        self._state = state
        return state

    def copy(self, snapshot: Path, position: int) -> SubscriptionState:
        """Begin the subscription with the rows of a snapshot; see `ITarget.copy_snapshot`."""
        self._require_open()
        self._state = self._target.copy_snapshot(snapshot, self._publications, position)
        return self._state

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
        while todo:
            todo = self._apply_once(todo)
        assert self._state is not None
        return self._state

    def _apply_once(self, portions: list[Portion]) -> list[Portion]:
        """Apply all, or what stands before a record that is at fault; returns what is left to do."""
        portions = self._without_skipped(portions)
        done = 0
        try:
            self._target.begin()
            for portion in portions:
                self._execute(portion)
                done += 1
            self._commit(portions)
        except StatementRefused as refused:
            self._target.rollback()
            number, index = _place_of(portions, done, refused.index)
            return self._refused(portions, number, index, refused)
        except BaseException:
            self._target.rollback()
            raise
        return []

    def _execute(self, portion: Portion) -> None:
        """Hand the records of a portion to the target; a refusal names one by its index in the portion."""
        frames, first, stop = portion.frames, portion.first, portion.stop
        statements = frames.sql[first:stop]
        types = {index - first: kind for index, kind in frames.types.items() if first <= index < stop}
        if not all(statements):
            # Checkpoints and the like, which no master forwards, say nothing to a target.
            numbers = [number for number, sql in enumerate(statements) if sql]
            for number in numbers:
                kind = {0: types[number]} if number in types else {}
                try:
                    self._target.execute([statements[number]], kind)
                except StatementRefused as refused:
                    raise StatementRefused(number, refused.sql, refused.reason) from refused
        elif statements:
            self._target.execute(statements, types)

    def _commit(self, portions: Sequence[Portion]) -> None:
        state = self._state
        assert state is not None
        fence = state.fence
        for portion in portions:
            fence = fence_behind(fence, portion.frames, portion.first, portion.stop)
        end = portions[-1].end if portions else state.position
        moved = SubscriptionState(self._publications, state.effective_start, end, fence)
        self._target.commit(moved)
        self._state = moved

    def _refused(
        self, portions: list[Portion], number: int, index: int, refused: StatementRefused
    ) -> list[Portion]:
        """Keep what stands before a refused record; then stop, or put it aside and go on."""
        portion = portions[number]
        frames = portion.frames
        stop = index if self._keep_refused else _safe_stop(frames, portion.first, index)
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
        start, crc, sql = frames.start_of(index), _crc_of(frames, index), frames.sql[index]
        text = sql.decode("utf-8", "replace")
        if not self._keep_refused:
            raise ReplayStopped(start, crc, text, refused.reason) from refused
        self._log.error(
            "the record at position {position}, CRC {crc:08x}, was refused and put aside: {reason}: {sql!r}",
            position=start,
            crc=crc,
            reason=refused.reason,
            sql=text[:300],
        )
        rest = Portion(frames, index + 1, portion.stop, portion.end)
        return [rest, *portions[number + 1 :]]

    def _without_skipped(self, portions: list[Portion]) -> list[Portion]:
        """Leave out the record that an operator ordered to pass over."""
        wanted = self._skip
        if wanted is None:
            return portions
        found: list[Portion] = []
        for portion in portions:
            at = self._index_to_skip(portion, wanted)
            if at is None:
                found.append(portion)
            else:
                frames = portion.frames
                found.append(Portion(frames, portion.first, at, frames.start_of(at)))
                found.append(Portion(frames, at + 1, portion.stop, portion.end))
        return found

    def _index_to_skip(self, portion: Portion, wanted: SkipRequest) -> int | None:
        frames = portion.frames
        starts = ((index, frames.start_of(index)) for index in range(portion.first, portion.stop))
        at = next((index for index, start in starts if start == wanted.position), None)
        if at is None:
            return None
        crc = _crc_of(frames, at)
        if crc != wanted.crc:
            self._log.error(
                "--skip-at {position}: the record there has CRC {crc:08x}, not {wanted:08x}; it is applied",
                position=wanted.position,
                crc=crc,
                wanted=wanted.crc,
            )
            return None
        self._log.warn(
            "passing over the record at position {position}, CRC {crc:08x}, as ordered: {sql!r}",
            position=wanted.position,
            crc=crc,
            sql=frames.sql[at],
        )
        return at


def _place_of(portions: Sequence[Portion], done: int, index: int) -> tuple[int, int]:
    """Find the record that a target refused: the number of its portion, and its index in that one's frames.

    Args:
        portions: What was to be applied.
        done: How many of them the target took. One that hands records on only when it commits takes all, and
            counts over all that it was given.
        index: What the target said.
    """
    if done < len(portions):
        return done, portions[done].first + index
    given = (
        (number, at)
        for number, portion in enumerate(portions)
        for at in range(portion.first, portion.stop)
        if portion.frames.sql[at]
    )
    return next(itertools.islice(given, index, None))


def _listed(publications: tuple[str, ...]) -> str:
    return ", ".join(publications) or "every table"


def _locate(portions: Sequence[Portion], done: int, index: int) -> tuple[int, int]:
    """Which portion a refused record is in, and its index there; at the commit the index is over all of them."""
    if done < len(portions):
        return done, index
    for number, portion in enumerate(portions):
        size = portion.stop - portion.first
        if index < size:
            return number, index
        index -= size
    raise AssertionError("a record was refused that was never handed over")


def _safe_stop(frames: RecordFrames, first: int, index: int) -> int:
    """Where to stop for a record that is refused: before it, or before the transaction that it is part of.

    A writer puts the statements of a transaction into v2 records, and BEGIN in front of them is passed over: a run
    of frames that begins behind something passed over begins with the transaction, or in it.
    """
    if frames.record(index)[3] & _FORMAT_BITS != _V2_BITS:
        return index
    begins = [run[0] for run in frames.runs if first <= run[0] <= index]
    return max([first, *begins])


def _crc_of(frames: RecordFrames, index: int) -> int:
    record = decode_record(frames.record(index), limit=_ANY_LENGTH)
    assert record is not None
    return record.crc

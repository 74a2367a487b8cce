"""The pieces of a log that all subscribers share: each is read, cut and judged once, and held for a while."""

from __future__ import annotations

import os
from collections import OrderedDict

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from spgrepl.base.observers import Barrier
from spgrepl.base.reading import FileReader, RunInThread
from spgrepl.base.steady_clock import steady_clock
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.log.source import ILogSource
from spgrepl.log.transactions.groups import DEFAULT_CHOICES, TransactionChoices
from spgrepl.master.judged.cutting import Brought, HeldUp, PieceCutter, Wanted, Work
from spgrepl.master.judged.pieces import KnownUnit, Piece

CACHE_BYTES = 4 * 1024 * 1024
"""How much of the log is held, judged, for subscribers that read the same part of it."""

MOST_PIECES = 256
"""How many pieces are held at most: at a busy tail each is a few bytes of log, but a few dozen objects more."""

Answer = Piece | Deferred["Piece | None"] | None


@attrs.frozen
class Judging:
    """How a log is judged for subscribers.

    Attributes:
        max_record: The most bytes of SQL or payload that a record may have.
        choices: What is done about transactions that the log cannot tell.
        cache_bytes: How much of the log to hold.
    """

    max_record: int = DEFAULT_MAX_RECORD
    choices: TransactionChoices = DEFAULT_CHOICES
    cache_bytes: int = CACHE_BYTES


DEFAULT_JUDGING = Judging()


class RecordFeed:
    """Hands out the log in judged pieces.

    Args:
        clock: The reactor, or a clock.
        log: The log.
        in_thread: Runs reads that have to wait for the disk.
        judging: How it is judged, and how much of it is held.
        dropped: Transactions that were taken for dead, see `PieceCutter`.

    Attributes:
        built: How many pieces were cut and judged.
    """

    def __init__(
        self,
        clock: IReactorTime,
        log: ILogSource,
        in_thread: RunInThread,
        judging: Judging = DEFAULT_JUDGING,
        dropped: dict[int, int] | None = None,
    ) -> None:
        self._clock = steady_clock(clock)
        self._log = log
        self._in_thread = in_thread
        self._cutter = PieceCutter(
            lambda: self.length, judging.max_record, self._clock.seconds, judging.choices, dropped
        )
        self._limit = judging.cache_bytes
        self._held: OrderedDict[int, Piece] = OrderedDict()
        self._held_bytes = 0
        self._waiting: dict[int, Barrier[Piece | None]] = {}
        self._reader: FileReader | None = None
        self.built = 0

    @property
    def length(self) -> int:
        """The published length of the log."""
        return int(self._log.length)

    # -- asking -----------------------------------------------------------------------------------------------

    def piece(self, start: int, unit: KnownUnit | None = None) -> Answer:
        """Give the piece that begins at a position.

        Args:
            start: A record's first byte: between two units, or inside `unit`.
            unit: The transaction that `start` is inside of, as the piece before told it.

        Returns:
            The piece; a Deferred of it where that takes time; None, at once or through the Deferred, while the
            log holds nothing whole from there on: ask again when it has grown. The Deferred stays silent after
            `reset`.

        Raises:
            RecordError: (or through the Deferred) The record at `start` is broken, or one of the transaction that
                begins there.
            OSError: (or through the Deferred) The log cannot be read.
        """
        held = self._held.get(start)
        if held is not None:
            self._held.move_to_end(start)
            return held
        if not self._cutter.may_find(start):
            return None
        return self._ask(start, self._cutter.build(start, unit))

    def held(self, start: int) -> Piece | None:
        """The piece that begins at a position, if it was made for somebody and is held still."""
        return self._held.get(start)

    def held_up(self, start: int) -> HeldUp | None:
        """What keeps the log from being given out from a position on; None where nothing is known to."""
        return self._cutter.held_up(start)

    def is_overdue(self, start: int) -> bool:
        """Whether the transactions that begin at a position were open for too long: ask for the piece again."""
        return self._cutter.is_overdue(start)

    def check_start(self, start: int, boundary: int) -> Deferred[None] | None:
        """Find out whether a position that a stranger names is a record's first byte, and inside a transaction.

        The answer is remembered: `piece` follows such a transaction to its end first.

        Args:
            start: The position, within the log.
            boundary: A position between two units.

        Returns:
            None, or a Deferred of it where that takes time.

        Raises:
            StartInsideRecord: (or through the Deferred) No record starts there.
        """
        if start in (0, boundary) or start == self.length:
            return None
        found = self._ask(start, self._cutter.look_ahead(start, boundary))
        return found.addCallback(lambda _: None) if isinstance(found, Deferred) else None

    def reset(self) -> None:
        """Forget everything: the log is lost, or serving ends. What is under way comes to nothing."""
        self._held.clear()
        self._held_bytes = 0
        self._cutter.reset()
        self._waiting.clear()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # -- running what takes several reads -----------------------------------------------------------------------

    def _ask(self, start: int, work: Work) -> Answer:
        """Do some work for all who ask for the same; at once, where its first read is enough."""
        waiting = self._waiting.get(start)
        if waiting is not None:
            work.close()
            return waiting.wait()
        try:
            wanted = next(work)
            data = None if callable(wanted) else self._open().read_now(*wanted)
            if data is not None:
                wanted = work.send(data)
        except StopIteration as done:
            return self._hold(done.value)
        mine = self._waiting[start] = Barrier()
        asked = mine.wait()
        self._go_on(start, mine, work, wanted, data is not None)
        return asked

    def _go_on(self, start: int, waiting: Barrier[Piece | None], work: Work, wanted: Wanted, rest: bool) -> None:
        """Read what some work wants next, in a later turn of the reactor, so that others have theirs."""

        def arrived(data: Brought) -> None:
            if self._waiting.get(start) is not waiting:
                return
            try:
                following = work.send(data)
            except StopIteration as done:
                self._give(start, self._hold(done.value))
            else:
                self._go_on(start, waiting, work, following, rest=True)

        def failed(failure: Failure) -> None:
            if self._waiting.get(start) is waiting:
                self._give(start, failure)

        def read() -> None:
            if self._waiting.get(start) is not waiting:
                return
            if callable(wanted):
                self._in_thread(wanted).addCallback(arrived).addErrback(failed)
                return
            reader = self._open()
            try:
                data = reader.read_now(*wanted)
            except OSError:
                failed(Failure())
                return
            if data is None:
                reader.read_later(*wanted).addCallback(arrived).addErrback(failed)
                return
            try:
                arrived(data)
            except Exception:  # noqa: BLE001 - told to whoever asked
                failed(Failure())

        if rest or callable(wanted):
            self._clock.callLater(0, read)
        else:
            self._open().read_later(*wanted).addCallback(arrived).addErrback(failed)

    def _give(self, start: int, result: Piece | Failure | None) -> None:
        self._waiting.pop(start).open(result)

    def _open(self) -> FileReader:
        """Our own descriptor of the file, so that none is closed, and its number given again, under a read."""
        if self._reader is None:
            self._reader = FileReader(os.dup(self._log.fileno()), "the log", self._in_thread)
        return self._reader

    def _hold(self, piece: Piece | None) -> Piece | None:
        if piece is None:
            return None
        self.built += 1
        before = self._held.pop(piece.start, None)
        if before is not None:
            self._held_bytes -= before.end - before.start
        self._held[piece.start] = piece
        self._held_bytes += piece.end - piece.start
        while len(self._held) > 1 and (self._held_bytes > self._limit or len(self._held) > MOST_PIECES):
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= dropped.end - dropped.start
        return piece

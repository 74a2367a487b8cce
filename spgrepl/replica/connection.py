"""A connection to a master without a socket: bytes in, events and bytes out, and a deadline.

What all connections have in common is here: the state and where it may lead, the deadline, what the master's
length says, how it ends. Nothing of it knows Twisted; `spgrepl.replica.link` is the shell that does.

Whoever holds a connection calls it with the time, hands on the events in their order, sends what is to be sent,
and asks for the deadline again. An event of a kind in `asks` has to be answered, by `answer`, before anything else
is taken from the master: what was read already waits meanwhile.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import attrs

from spgrepl.errors import LogTruncated, PeerClosed, PeerError, PeerTimeout, SpgReplError
from spgrepl.text.quantities import in_seconds
from spgrepl.wire.frames import Status

_State = TypeVar("_State", bound=enum.Enum)

SLICE = 32 * 1024
"""So many bytes are taken between two looks at the clock, where each few of them may be a frame."""


@attrs.frozen
class Entered(Generic[_State]):
    """The connection has gone on to another state."""

    state: _State


@attrs.frozen
class Broken:
    """The connection is to be closed: the master broke the rules, or was silent for too long."""

    error: SpgReplError


@attrs.frozen
class UnknownFrames:
    """The master sends frames of types that are not used here; they are skipped."""


Event = Any
"""`Entered`, `Broken`, `UnknownFrames`, or a value of `spgrepl.wire` that the master has sent."""


class Connection(ABC, Generic[_State]):
    """What the kinds of connections have in common.

    Attributes:
        state: Where the connection stands.
        deadline: When something must have come, by the clock that the calls name; None while nothing need.
        heard: Whether the master has sent any byte at all.
        paused: Whether nothing is read from the master for now, so that its silence means nothing.
        applied: Up to where the log is applied, and durable; its owner says so as it goes on.
    """

    read_size: ClassVar[int]
    """The most bytes that are to be read from the socket at once."""

    advice: ClassVar[str]
    """What to do when the master's log was truncated."""

    why_at_rest: ClassVar[str] = "a part of it may have been lost on its way"
    """Why nothing more may have come before the end of the master's log."""

    asks: ClassVar[tuple[type, ...]]
    """The kinds of events that have to be answered."""

    leads_to: ClassVar[Mapping[Any, frozenset[Any]]]
    """From each state, those that may follow it; the one that all may lead to is that of the end, with none."""

    def __init__(self, first: _State) -> None:
        (self._closed,) = (state for state, following in self.leads_to.items() if not following)
        self.state = first
        self.deadline: float | None = None
        self.heard = False
        self.paused = False
        self.applied = 0
        self._timeout: float | None = None
        self._now = 0.0
        self._events: list[Event] = []
        self._to_send = b""
        self._early = b""
        self._log_came = False
        self._doubt: LogTruncated | None = None
        self._longest = 0
        self._fell = False
        self._behind_since: float | None = None

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.state is self._closed

    @property
    def at_once(self) -> int:
        """How many of the bytes that come next may be taken between two looks at the clock."""
        return SLICE

    @property
    def unread(self) -> bool:
        """Whether there is more in what was taken: it is read when no bytes are taken, before any others."""
        return False

    # -- what each kind does in its own way -----------------------------------------------------------------------

    @property
    @abstractmethod
    def received(self) -> int | None:
        """The position after what has come of the log; None where nothing can have come yet."""

    @abstractmethod
    def _begin(self, prepared: Any) -> None:
        """Say hello, as this side has prepared it."""

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """Take bytes from the master."""

    @abstractmethod
    def _go_on(self, answer: Any) -> None:
        """Go on after an event that had to be answered."""

    @abstractmethod
    def _awaited(self) -> str:
        """What did not come in time, in words."""

    def _how_it_ended(self, reason: str) -> str:
        """What happened when the master closed, in words."""
        return f"the master closed the connection while this side was {self.state.value}: {reason}"

    # -- what may happen ------------------------------------------------------------------------------------------

    def begin(self, prepared: Any, now: float) -> list[Event]:
        """Begin: this side is ready. Nothing happens where the connection has ended meanwhile."""
        return [] if self.closed else self._do(now, self._begin, prepared)

    def receive_bytes(self, data: bytes, now: float) -> list[Event]:
        """Take bytes from the master.

        Returns:
            What they say, in order. The last one may be `Broken`; then nothing more is to be taken.
        """
        self.heard = True
        return [] if self.closed else self._do(now, self._take, data)

    def answer(self, answer: Any, now: float) -> list[Event]:
        """Go on after an event of a kind in `asks`. Nothing happens where the connection has ended meanwhile."""
        return [] if self.closed else self._do(now, self._go_on, answer)

    def time_out(self, now: float) -> list[Event]:
        """The deadline is over: while nothing is read it is put off, else the connection is to be closed."""
        if self.paused:
            self.put_off(now)
            return []
        self.deadline = None
        return [Broken(PeerTimeout(self._awaited()))]

    def put_off(self, now: float) -> None:
        """Let the deadline begin again."""
        self._now = now
        self._set_deadline(self._timeout)

    def close(self) -> list[Event]:
        """End: nothing more is taken, and there is no deadline."""
        if self.closed:
            return []
        self._enter(self._closed, None)
        return self._take_events()

    def lost(self, reason: str) -> SpgReplError:
        """Say why the master has closed the connection, which this side did not.

        Args:
            reason: How the connection has ended, in words.
        """
        doubt = None if self._log_came else self._doubt
        return doubt or PeerClosed(self._how_it_ended(reason))

    def bytes_to_send(self) -> bytes:
        """What is to be sent to the master now."""
        data, self._to_send = self._to_send, b""
        return data

    def _do(self, now: float, call: Any, *args: Any) -> list[Event]:
        self._now = now
        try:
            call(*args)
        except SpgReplError as error:
            self._events.append(Broken(error))
        return self._take_events()

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # -- states and deadlines -------------------------------------------------------------------------------------

    def _enter(self, state: _State, timeout: float | None) -> None:
        """Go on to a state, in which something must come within so many seconds."""
        assert state in self.leads_to[self.state] or state is self._closed, (self.state, state)
        self.state = state
        self._set_deadline(timeout)
        self._events.append(Entered(state))

    def _set_deadline(self, timeout: float | None) -> None:
        self._timeout = timeout
        self.deadline = None if timeout is None else self._now + timeout

    def _too_early(self) -> PeerError:
        return PeerError("the master speaks before the hello")

    # -- the master's length --------------------------------------------------------------------------------------

    def _judge_length(self, status: Status, position: int) -> None:
        """Look whether the master's log reaches as far as it must.

        Args:
            status: The master's STATUS.
            position: What this side holds, or had received in front of that STATUS.

        Raises:
            LogTruncated: It ends before what is applied.
            PeerError: It ends before what has come, and not before what is applied; or it was longer a moment ago.
        """
        # What a master measures never becomes less, unless its log was cut.
        self._fell |= status.length < self._longest
        self._longest = max(self._longest, status.length)
        if status.length >= position:
            if self._fell:
                raise PeerError(
                    f"the master's log ends at {status.length}, and it was shorter a moment ago than before that: "
                    f"it may have been truncated, and have grown again. It is asked for once more from before "
                    f"position {position}, and compared"
                )
            self._doubt = None
        elif self._doubt is not None and status.length >= self.applied:
            # What came without being a part of the log, such as a STATUS taken for one, counts for nothing.
            raise PeerError(
                f"the master's log ends at {status.length}, and up to position {position} has come of it: what "
                f"was sent was damaged, or the log was truncated. It is asked for again from position "
                f"{self.applied}, which is applied"
            )
        elif self._doubt is None:
            # A master may have measured its log before it sent the bytes that came last: a second STATUS in a
            # row makes it sure, or the end of a connection on which nothing of the log came.
            self._doubt = LogTruncated(
                f"the master's log ends at {status.length}, before position {position} that this side has "
                f"reached: it was truncated, reset or replaced. {self.advice}"
            )
        else:
            raise self._doubt

    def _judge_progress(self, status: Status, position: int, patience: float) -> None:
        """Look whether the log still comes: a frame may have been taken for one of another type.

        Args:
            status: The master's STATUS.
            position: How far the log has come.
            patience: Seconds for which nothing may come although the master's log is longer.

        Raises:
            PeerTimeout: Nothing has come for so long.
        """
        if status.length <= position or self.paused:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._now
        elif self._now - self._behind_since >= patience:
            raise PeerTimeout(
                f"the master's log ends at {status.length}, and nothing after position {position} has "
                f"come for {in_seconds(patience)}: {self.why_at_rest}. It is asked for again"
            )

"""A follower's connection to its master, without a socket: what its bytes mean, over the wire's parsers."""

from __future__ import annotations

import enum

import attrs

from spgrepl.errors import PeerError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.pairs.fence import FenceCheck
from spgrepl.replica.connection import SLICE, Connection, UnknownFrames
from spgrepl.text.quantities import number_of
from spgrepl.wire.frames import (
    DEFAULT_MAX_FRAME,
    ChunkBytes,
    FrameParser,
    FrameType,
    Status,
    SuspectFrame,
    WalBytes,
)
from spgrepl.wire.handshake import (
    FollowerHello,
    ReplyParser,
    SnapshotData,
    SnapshotEnd,
    SnapshotStart,
    StreamVersion,
)
from spgrepl.wire.unknown_types import UnknownTypes

READ_SIZE = 512 * 1024
"""The most bytes that are read from the socket at once."""


class LinkState(enum.Enum):
    """Where a follower's connection stands."""

    PREPARING = "preparing"
    SNAPSHOT_LENGTH = "waiting for the master's reply"
    SNAPSHOT_BODY = "receiving a snapshot"
    SNAPSHOT_POSITION = "waiting for the snapshot's position"
    INSTALLING = "putting the snapshot in place"
    FENCE = "comparing history"
    STREAMING = "streaming"
    CLOSED = "closed"


MOST_HELD = 1024 * 1024
"""So many bytes of the log wait at most until it is known whether a frame in front of them was damaged."""

_STREAM_STATES = frozenset({LinkState.FENCE, LinkState.STREAMING})


@attrs.frozen
class LinkTimeouts:
    """Deadlines of a follower's connection, in seconds.

    Attributes:
        reply: From the hello to the master's reply, where no snapshot is asked for; then without a byte of the
            log that this copy has already, which is compared first.
        snapshot: The same, where the master has to make a snapshot first.
        snapshot_idle: Without a byte, within a snapshot.
        silence: Without a byte, not even a STATUS, on a V2 stream that goes on after what was compared.
        behind: Without a byte of the log, while each STATUS says that there is more.
    """

    reply: float = 15.0
    snapshot: float = 600.0
    snapshot_idle: float = 60.0
    silence: float = 15.0
    behind: float = 5.0


_LEADS_TO = {
    LinkState.PREPARING: frozenset({LinkState.SNAPSHOT_LENGTH}),
    LinkState.SNAPSHOT_LENGTH: frozenset({LinkState.SNAPSHOT_BODY}) | _STREAM_STATES,
    LinkState.SNAPSHOT_BODY: frozenset({LinkState.SNAPSHOT_POSITION, LinkState.INSTALLING}),
    LinkState.SNAPSHOT_POSITION: frozenset({LinkState.INSTALLING}),
    LinkState.INSTALLING: _STREAM_STATES,
    LinkState.FENCE: frozenset({LinkState.STREAMING}),
    LinkState.STREAMING: frozenset({LinkState.CLOSED}),
    LinkState.CLOSED: frozenset(),
}


class FollowerConnection(Connection[LinkState]):
    """Asks a master for its log. It begins with the state to resume from, or with None where a snapshot is needed.

    Its events are `SnapshotStart`, `SnapshotData`, `SnapshotEnd` (answered when the snapshot is in place),
    `WalBytes` that follow those before, `ChunkHeader` and `ChunkBytes` of a cold segment, and `Status`.

    Args:
        version: The form of stream to ask for.
        timeouts: Deadlines.
        max_frame: The longest frame that is accepted, in bytes.
        unknown: Which unknown frames the master sends on purpose.
    """

    read_size = READ_SIZE
    advice = "Point the follower at the right master, or take a fresh copy with --on-divergence resnapshot"
    asks = (SnapshotEnd,)
    leads_to = _LEADS_TO

    def __init__(
        self,
        version: StreamVersion,
        timeouts: LinkTimeouts | None = None,
        max_frame: int = DEFAULT_MAX_FRAME,
        unknown: UnknownTypes | None = None,
    ) -> None:
        super().__init__(LinkState.PREPARING)
        self._version = version
        self._timeouts = timeouts or LinkTimeouts()
        self._frames = FrameParser(max_frame, suspects=True)
        self._reply = ReplyParser(0)
        self._fence = FenceCheck(ReplayState(0, 0))
        self._bootstrapping = False
        self._position = 0
        self._passed_over = 0
        self._unknown = unknown or UnknownTypes()
        self._suspect: SuspectFrame | None = None
        self._suspected_since = 0.0
        self._held: list[bytes] = []
        self._held_length = 0

    @property
    def version(self) -> StreamVersion:
        """The form of stream that is asked for."""
        return self._version

    @property
    def received(self) -> int:
        """See `Connection`."""
        return self._position

    @property
    def log_follows(self) -> bool:
        """Whether the log comes, or comes next: there is no snapshot before it."""
        begun = self.state is not LinkState.PREPARING and not self._bootstrapping
        return begun or self.state in _STREAM_STATES

    @property
    def at_once(self) -> int:
        """See `Connection`. What is left of a frame is passed on as it is, however much of it there is."""
        if self.state not in _STREAM_STATES:
            return SLICE
        return READ_SIZE if self._version is StreamVersion.V1 else max(SLICE, self._frames.left)

    # -- opening ----------------------------------------------------------------------------------------------

    def _begin(self, prepared: ReplayState | None) -> None:
        start = 0
        if prepared is not None:
            self._fence = FenceCheck(prepared)
            start = self._fence.start
            self._position = self.applied = prepared.position
        self._bootstrapping = start == 0
        self._reply = ReplyParser(start)
        self._enter(LinkState.SNAPSHOT_LENGTH, self._timeouts.reply if start else self._timeouts.snapshot)
        self._to_send += FollowerHello(self._version, start).encode()

    def _awaited(self) -> str:
        awaited = "not even a STATUS" if self.state is LinkState.STREAMING else "nothing that was waited for"
        error = f"{awaited} came from the master in time while this side was {self.state.value}"
        if self.state is LinkState.FENCE:
            error += (
                f": it had its log from position {self._fence.start} on when this copy was made. Where it stays "
                f"silent, its log was truncated or is another one"
            )
        return error

    # -- receiving --------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if self.state is LinkState.STREAMING and self.deadline is not None and self._suspect is None:
            # Whoever sends is not silent: a long frame, or one that is skipped, leaves no room for a STATUS.
            # Behind a damaged frame what looks like a long one may swallow each STATUS.
            self._set_deadline(self._timeouts.silence)
        if self.state in _STREAM_STATES:
            self._receive_stream(data)
        elif self.state is LinkState.INSTALLING:
            # The transport is paused; only what was read already still comes.
            self._early += data
        elif self.state is LinkState.PREPARING:
            raise self._too_early()
        else:
            self._receive_reply(data)

    def _receive_reply(self, data: bytes) -> None:
        events, rest = self._reply.feed(data)
        for event in events:
            if isinstance(event, SnapshotData):
                self._set_deadline(self._timeouts.snapshot_idle)
                self._events.append(event)
            elif isinstance(event, SnapshotEnd):
                self._install(event, rest)
                return
            else:
                self._reply_started(event)
        if self._reply.complete:
            self._stream(rest)
        elif self.state is LinkState.SNAPSHOT_BODY and not self._reply.awaits_body:
            self._enter(LinkState.SNAPSHOT_POSITION, self._timeouts.reply)

    def _reply_started(self, event: SnapshotStart) -> None:
        if self._bootstrapping:
            self._events.append(event)
            self._enter(LinkState.SNAPSHOT_BODY, self._timeouts.snapshot_idle)

    def _install(self, end: SnapshotEnd, rest: bytes) -> None:
        self._early = rest
        self._enter(LinkState.INSTALLING, None)
        self._position = self.applied = end.position
        self._events.append(end)

    def _go_on(self, answer: None) -> None:
        """The snapshot is in place."""
        early, self._early = self._early, b""
        self._stream(early)

    def _stream(self, data: bytes) -> None:
        self._unknown.begin()
        if self._fence.passed:
            self._begin_streaming()
        else:
            self._enter(LinkState.FENCE, self._timeouts.reply)
        if data:
            self._receive_stream(data)

    def _begin_streaming(self) -> None:
        # A master of V1 has nothing to say while its log does not grow.
        silence = None if self._version is StreamVersion.V1 else self._timeouts.silence
        self._enter(LinkState.STREAMING, silence)

    def _receive_stream(self, data: bytes) -> None:
        if self._version is StreamVersion.V1:
            self._wal(data)
            return
        events = self._frames.feed(data)
        if self.state is LinkState.FENCE and not any(isinstance(event, WalBytes | Status) for event in events):
            # SPG masters send all their segments before the log.
            self._set_deadline(self._timeouts.reply)
        for event in events:
            if isinstance(event, WalBytes):
                self._wal(event.data)
            elif isinstance(event, Status):
                self._status(event)
            elif isinstance(event, SuspectFrame):
                self._suspected(event)
            elif isinstance(event, ChunkBytes):
                self._behind_since = None
                self._events.append(event)
            else:
                self._events.append(event)
        if self._frames.passed_over != self._passed_over:
            if not self._passed_over:
                self._events.append(UnknownFrames())
            self._passed_over = self._frames.passed_over

    def _wal(self, data: bytes) -> None:
        self._doubt = None
        self._log_came = True
        if self.state is LinkState.FENCE:
            data = self._fence.feed(data)
            if self._fence.passed:
                self._begin_streaming()
            else:
                self._set_deadline(self._timeouts.reply)
        self._behind_since = None
        if data and self._suspect is not None:
            self._held.append(data)
            self._held_length += len(data)
            if self._held_length > MOST_HELD:
                raise self._may_be_lost(self._suspect)
        elif data:
            self._position += len(data)
            self._events.append(WalBytes(data))

    def _suspected(self, frame: SuspectFrame) -> None:
        """What follows may belong elsewhere: it waits until a STATUS shows that nothing is lost."""
        if self._unknown.on_purpose(frame.type, frame.length) or self._suspect is not None:
            return
        if self.state is LinkState.FENCE:
            # What is compared would look like a different history.
            raise self._may_be_lost(frame)
        self._suspect, self._suspected_since = frame, self._now

    def _may_be_lost(self, frame: SuspectFrame) -> PeerError:
        return PeerError(
            f"a frame of type 0x{frame.type:02x} with {number_of(frame.length, 'byte')}, which is not "
            f"known, came at position "
            f"{self._position}: it may be a damaged one, and a part of the log in it. The log is asked for again"
        )

    def _judge_suspect(self, status: Status) -> None:
        """Look whether all of the master's log has come: then the suspected frame held nothing of it."""
        if self._suspect is None:
            return
        missing = status.length - self._position - self._held_length
        if missing > 0:
            # The rest may be on its way; it does not come where the frame held it. A STATUS may have taken in
            # frames of any length.
            held_it = self._suspect.type == FrameType.STATUS or missing >= self._suspect.length
            if held_it or self._now - self._suspected_since >= self._timeouts.behind:
                raise self._may_be_lost(self._suspect)
            self._set_deadline(self._timeouts.silence)
            return
        held, self._held, self._held_length, self._suspect = self._held, [], 0, None
        for data in held:
            self._wal(data)

    def _status(self, status: Status) -> None:
        self._judge_suspect(status)
        if self.state is not LinkState.FENCE:
            self._judge_progress(status, self._position, self._timeouts.behind)
        self._judge_length(status, self._position)
        self._events.append(status)

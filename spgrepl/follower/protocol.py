"""One connection of a follower to its master, as a state machine over the wire's parsers."""

from __future__ import annotations

import enum
from typing import Protocol as TypingProtocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from spgrepl.engines.interfaces import ReplayState
from spgrepl.errors import PeerError, SpgReplError
from spgrepl.follower.fence import FenceCheck
from spgrepl.follower.link import MasterLink
from spgrepl.wire.frames import DEFAULT_MAX_FRAME, ChunkBytes, FrameParser, Status, WalBytes
from spgrepl.wire.handshake import (
    FollowerHello,
    ReplyParser,
    SnapshotData,
    SnapshotEnd,
    SnapshotStart,
    StreamVersion,
)
from spgrepl.wire.segment_chunks import ChunkHeader

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


_STREAM_STATES = frozenset({LinkState.FENCE, LinkState.STREAMING})


@attrs.frozen
class LinkTimeouts:
    """Deadlines of a follower's connection, in seconds.

    Attributes:
        reply: From the hello to the master's reply, where no snapshot is asked for; then without a byte of the
            log that this copy has already, which is compared first.
        snapshot: The same, where the master has to make a snapshot first.
        snapshot_idle: Without a byte, within a snapshot.
        silence: Without a byte, not even a STATUS, on a V2 stream that goes on behind what was compared.
    """

    reply: float = 15.0
    snapshot: float = 600.0
    snapshot_idle: float = 60.0
    silence: float = 15.0


class ILinkOwner(TypingProtocol):
    """What a connection asks of the follower that it belongs to. All calls come in the reactor's thread."""

    def prepare(self) -> Deferred[ReplayState | None]:
        """Get ready for a stream; fires with the state to resume from, None where a snapshot is needed."""

    def snapshot_started(self, length: int) -> None:
        """A snapshot of `length` bytes follows."""

    def snapshot_data(self, data: bytes) -> None:
        """A piece of the snapshot."""

    def snapshot_ended(self, position: int) -> Deferred[None]:
        """The snapshot stands at `position`; fires when it is in place."""

    def log_data(self, data: bytes) -> None:
        """Bytes of the log, following those before."""

    def chunk_started(self, header: ChunkHeader) -> None:
        """A chunk of a cold segment follows."""

    def chunk_data(self, data: bytes) -> None:
        """A piece of that chunk."""

    def master_status(self, status: Status) -> None:
        """The master's STATUS."""

    def state_changed(self, state: LinkState) -> None:
        """The connection has gone on to another state."""

    def link_closed(self, link: FollowerProtocol, reason: SpgReplError | None, heard: bool) -> None:
        """The connection has ended.

        Args:
            link: The connection.
            reason: Why; None when this side closed it on demand.
            heard: Whether the master has sent any byte at all.
        """


class FollowerProtocol(MasterLink[LinkState]):
    """Asks a master for its log and hands on what comes.

    Args:
        reactor: For deadlines.
        owner: The follower.
        version: The form of stream to ask for.
        timeouts: Deadlines.
        max_frame: The longest frame that is accepted, in bytes.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        owner: ILinkOwner,
        version: StreamVersion,
        timeouts: LinkTimeouts | None = None,
        max_frame: int = DEFAULT_MAX_FRAME,
    ) -> None:
        super().__init__(
            reactor,
            LinkState.PREPARING,
            LinkState.CLOSED,
            READ_SIZE,
            "Point the follower at the right master, or take a fresh copy with --on-divergence resnapshot",
        )
        self._owner = owner
        self._version = version
        self._timeouts = timeouts or LinkTimeouts()
        self._frames = FrameParser(max_frame)
        self._reply = ReplyParser(0)
        self._fence = FenceCheck(ReplayState(0, 0))
        self._bootstrapping = False
        self._early = b""
        self._position = 0
        self._passed_over = 0

    @property
    def version(self) -> StreamVersion:
        """The form of stream that is asked for."""
        return self._version

    @property
    def received(self) -> int:
        """The position behind the last byte of the log that was handed on."""
        return self._position

    # -- opening ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._owner.prepare().addCallbacks(self._say_hello, self._failed)

    def _say_hello(self, state: ReplayState | None) -> None:
        if self._state is not LinkState.PREPARING:
            return
        start = 0
        if state is not None:
            self._fence = FenceCheck(state)
            start = self._fence.start
            self._position = state.position
        self._bootstrapping = start == 0
        self._reply = ReplyParser(start)
        self._enter(LinkState.SNAPSHOT_LENGTH, self._timeouts.reply if start else self._timeouts.snapshot)
        self.transport.write(FollowerHello(self._version, start).encode())

    def _tell_state(self, state: LinkState) -> None:
        self._owner.state_changed(state)

    def _awaited(self) -> str:
        awaited = "not even a STATUS" if self._state is LinkState.STREAMING else "nothing that was waited for"
        error = f"{awaited} came from the master in time while this side was {self._state.value}"
        if self._state is LinkState.FENCE:
            error += (
                f": it had its log from position {self._fence.start} on when this copy was made. Where it stays "
                f"silent, its log was truncated or is another one"
            )
        return error

    # -- receiving --------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the master."""
        self._heard = True
        if self._state is LinkState.STREAMING and self._deadline is not None:
            # Whoever sends is not silent: a long frame, or one that is passed over, leaves no room for a STATUS.
            self._set_deadline(self._timeouts.silence)
        try:
            self._receive(data)
        except SpgReplError as error:
            self._close(error)

    def _receive(self, data: bytes) -> None:
        if self._state in _STREAM_STATES:
            self._receive_stream(data)
        elif self._state is LinkState.INSTALLING:
            # The transport is paused; only what was read already still comes.
            self._early += data
        elif self._state is LinkState.PREPARING:
            raise PeerError("the master speaks before the hello")
        elif self._state is not LinkState.CLOSED:
            self._receive_reply(data)

    def _receive_reply(self, data: bytes) -> None:
        events, rest = self._reply.feed(data)
        for event in events:
            if isinstance(event, SnapshotData):
                self._set_deadline(self._timeouts.snapshot_idle)
                self._owner.snapshot_data(event.data)
            elif isinstance(event, SnapshotEnd):
                self._install(event.position, rest)
                return
            else:
                self._reply_started(event)
        if self._reply.complete:
            self._stream(rest)
        elif self._state is LinkState.SNAPSHOT_BODY and not self._reply.awaits_body:
            self._enter(LinkState.SNAPSHOT_POSITION, self._timeouts.reply)

    def _reply_started(self, event: SnapshotStart) -> None:
        if self._bootstrapping:
            self._owner.snapshot_started(event.length)
            self._enter(LinkState.SNAPSHOT_BODY, self._timeouts.snapshot_idle)

    def _install(self, position: int, rest: bytes) -> None:
        self._early = rest
        self._enter(LinkState.INSTALLING, None)
        self.pause()
        self._position = position
        self._owner.snapshot_ended(position).addCallbacks(self._installed, self._failed)

    def _installed(self, _: None) -> None:
        if self._state is not LinkState.INSTALLING:
            return
        early, self._early = self._early, b""
        self.resume()
        try:
            self._stream(early)
        except SpgReplError as error:
            self._close(error)

    def _stream(self, data: bytes) -> None:
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
        if self._state is LinkState.FENCE and not any(isinstance(event, WalBytes | Status) for event in events):
            # SPG masters send all their segments before the log.
            self._set_deadline(self._timeouts.reply)
        for event in events:
            if isinstance(event, WalBytes):
                self._wal(event.data)
            elif isinstance(event, Status):
                self._status(event)
            elif self._state is LinkState.CLOSED:
                return
            elif isinstance(event, ChunkBytes):
                self._owner.chunk_data(event.data)
            else:
                self._owner.chunk_started(event)
        if self._frames.passed_over != self._passed_over:
            if not self._passed_over:
                self._log.info("the master sends frames of types that are not used here; they are passed over")
            self._passed_over = self._frames.passed_over

    def _wal(self, data: bytes) -> None:
        self._doubt = None
        self._log_came = True
        if self._state is LinkState.FENCE:
            data = self._fence.feed(data)
            if self._fence.passed:
                self._begin_streaming()
            else:
                self._set_deadline(self._timeouts.reply)
        if data:
            self._position += len(data)
            self._owner.log_data(data)

    def _status(self, status: Status) -> None:
        self._judge_length(status, self._position)
        self._owner.master_status(status)

    # -- the end ----------------------------------------------------------------------------------------------

    def _tell_closed(self, reason: SpgReplError | None) -> None:
        self._owner.link_closed(self, reason, self._heard)

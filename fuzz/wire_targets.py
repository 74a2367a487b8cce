"""Targets that read what comes over a connection."""

from __future__ import annotations

from fuzz.promises import cut, equal, ways_to_cut
from spgrepl.errors import ChunkError, FrameTooLong, HandshakeError
from spgrepl.wire.frames import ChunkBytes, FrameParser, WalBytes
from spgrepl.wire.handshake import HelloParser, ReplyEvent, ReplyParser, SnapshotData

MAX_FRAME = 1024


def frames(data: bytes) -> None:
    """Parse any bytes as V2 frames, in every cut."""
    stream, ways = ways_to_cut(data)
    expected = _frames(cut(stream, 1))
    for pieces in ways:
        found = _frames(pieces)
        if found[3]:
            # What stands in the same piece as the bad header is not returned: the connection ends there.
            equal("error", found[3], expected[3])
            equal("log bytes", expected[0][: len(found[0])], found[0])
        else:
            equal("frames", found, expected)


def _frames(pieces: list[bytes]) -> tuple[bytes, list[object], int, bool]:
    parser = FrameParser(MAX_FRAME)
    log = b""
    others: list[object] = []
    for piece in pieces:
        try:
            events = parser.feed(piece)
        except (FrameTooLong, ChunkError):
            return log, others, parser.passed_over, True
        for event in events:
            if isinstance(event, WalBytes):
                log += event.data
            elif isinstance(event, ChunkBytes) and others and isinstance(others[-1], bytes):
                others[-1] += event.data
            else:
                others.append(event.data if isinstance(event, ChunkBytes) else event)
    return log, others, parser.passed_over, False


def hello(data: bytes) -> None:
    """Parse any bytes as the first ones of a connecting side, in every cut."""
    _, ways = ways_to_cut(data)
    first, *others = [_hello(pieces) for pieces in ways]
    for other in others:
        equal("hello", other, first)


def _hello(pieces: list[bytes]) -> object:
    parser = HelloParser()
    for number, piece in enumerate(pieces):
        try:
            found = parser.feed(piece)
        except HandshakeError:
            return "refused"
        if found is not None:
            said, rest = found
            behind = rest + b"".join(pieces[number + 1 :])
            equal("encoded again", said.encode() + behind, b"".join(pieces))
            return said, behind
    return None


def reply(data: bytes) -> None:
    """Parse any bytes as a master's reply, in every cut, to a start of 0 and to one above."""
    _, ways = ways_to_cut(data)
    for start in (0, 7):
        first, *others = [_reply(start, pieces) for pieces in ways]
        for other in others:
            equal("reply", other, first)


def _reply(start: int, pieces: list[bytes]) -> object:
    parser = ReplyParser(start)
    events: list[ReplyEvent] = []
    snapshot, behind = b"", b""
    for piece in pieces:
        try:
            found, rest = parser.feed(piece)
        except HandshakeError:
            return "refused"
        for event in found:
            if isinstance(event, SnapshotData):
                snapshot += event.data
            else:
                events.append(event)
        behind += rest
    return events, snapshot, behind, parser.complete

"""The wire of a deployed SPG server: V1, V2 and SUB, with what it is known to do wrong (PROTOCOL 2, 3, 7)."""

from __future__ import annotations

import struct
from typing import Any

from twisted.internet import protocol
from twisted.internet.interfaces import IDelayedCall

from spgrepl.log.format.parser import cut_records
from spgrepl.wire.frames import encode_chunk_start, encode_skip, encode_status, encode_wal_header
from spgrepl.wire.segment_chunks import ChunkHeader
from tests.spg_master.database import SpgDatabase

CLUSTER = 0xA11CE
EVERY = 0.01
"""Seconds between two looks at the log, and two STATUS frames; a server takes 50 ms."""


def number(value: int) -> bytes:
    return value.to_bytes(8, "little")


class SpgServer(protocol.Factory):
    """Serves a database as an SPG server would.

    Args:
        reactor: The reactor.
        database: What is served.

    Attributes:
        slice: How many bytes of the log are sent in one frame: records are cut anywhere.
        chunk: At how many bytes segments are cut.
        hold: How many bytes of a snapshot to send before the rest waits; None sends all.
        hold_chunks: After how many chunks of segments the rest of the stream waits; None sends all.
        snapshot_position: What is said to be the position of the next snapshots; None for the log's length.
        versions: The versions that followers asked for, in order.
        starts: Where they asked to start, likewise.
        down: Whether nobody reaches the server.
    """

    noisy = False

    def __init__(self, reactor: Any, database: SpgDatabase) -> None:
        self.reactor = reactor
        self.database = database
        self.slice = 1000
        self.chunk = 100
        self.hold: int | None = None
        self.hold_chunks: int | None = None
        self.snapshot_position: int | None = None
        self.versions: list[int] = []
        self.starts: list[int] = []
        self.down = False
        self.connections: set[SpgConnection] = set()

    def buildProtocol(self, addr: Any) -> protocol.Protocol:
        return SpgConnection(self)

    def split(self) -> None:
        """Nobody reaches the server, and whoever did is cut off."""
        self.down = True
        for connection in list(self.connections):
            connection.cut()

    def heal(self) -> None:
        """It can be reached again."""
        self.down = False


class SpgConnection(protocol.Protocol):
    """One peer of the server."""

    def __init__(self, server: SpgServer) -> None:
        self._server = server
        self._hello = b""
        self._call: IDelayedCall | None = None
        self.kind: int | str | None = None
        self.position = 0

    # -- the connection ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self._server.connections.add(self)
        if self._server.down:
            self.cut()

    def connectionLost(self, reason: Any = None) -> None:
        self._server.connections.discard(self)
        if self._call is not None and self._call.active():
            self._call.cancel()

    def cut(self) -> None:
        assert self.transport is not None
        self.transport.abortConnection()  # type: ignore[attr-defined]

    def _send(self, *pieces: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(pieces))

    # -- handshakes -------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        self._hello += data
        if self.kind is not None:
            return
        if self._hello[:8] in (b"SPGREPL\x01", b"SPGREPL\x02"):
            if len(self._hello) >= 16:
                self._follow(self._hello[7], int.from_bytes(self._hello[8:16], "little"))
        elif self._hello[:8] == b"SPGSUB\x01\0":
            self._subscribe()
        elif len(self._hello) >= 8:
            self.cut()

    def _follow(self, version: int, start: int) -> None:
        server, database = self._server, self._server.database
        self.kind = version
        server.versions.append(version)
        server.starts.append(start)
        if start:
            self.position = start
            self._send(number(0))
        else:
            content = database.snapshot()
            position = server.snapshot_position
            self.position = database.position if position is None else position
            if server.hold is not None:
                self._send(number(len(content)), content[: server.hold])
                return
            self._send(number(len(content)), content, number(self.position))
        if version == 2:
            for chunk in self._chunks()[: server.hold_chunks]:
                self._send(*chunk)
            if server.hold_chunks is not None:
                return
        self._turn()

    def _chunks(self) -> list[tuple[bytes, bytes]]:
        """All segments in rising id, as they are sent: the head of each chunk, and its bytes."""
        found, size = [], self._server.chunk
        for segment, content in sorted(self._server.database.segments.items()):
            pieces = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
            for seq, piece in enumerate(pieces):
                found.append((encode_chunk_start(ChunkHeader(segment, seq, len(pieces), len(piece))), piece))
        return found

    def _subscribe(self) -> None:
        hello = self._hello
        if len(hello) < 18:
            return
        start, count = struct.unpack_from("<QH", hello, 8)
        at, names = 18, []
        for _ in range(count):
            if len(hello) < at + 2:
                return
            (length,) = struct.unpack_from("<H", hello, at)
            names.append(hello[at + 2 : at + 2 + length].decode())
            at += 2 + length
        if len(hello) < at + 8:
            return
        self.kind = "SUB"
        self._names = names
        self.position = start or self._server.database.position
        self._server.starts.append(start)
        self._send(number(self.position), number(CLUSTER))
        self._turn()

    # -- streaming --------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Send what is new; a log that became shorter goes unnoticed (PROTOCOL 7.6)."""
        database = self._server.database
        length = database.position
        with database.wal.open("rb") as file:
            file.seek(self.position)
            data = file.read(max(0, length - self.position))
        if self.kind == 1:
            self._send(data)
            self.position += len(data)
        elif self.kind == 2:
            size = self._server.slice
            for at in range(0, len(data), size):
                piece = data[at : at + size]
                self._send(encode_wal_header(len(piece)), piece)
            self.position += len(data)
            self._send(encode_status(length, 1_700_000_000_000_000))
        else:
            self._forward(data)
            self._send(encode_status(length, 1_700_000_000_000_000))
        self._call = self._server.reactor.callLater(EVERY, self._turn)

    def _forward(self, data: bytes) -> None:
        """Forward DML of the published tables, committed or not (PROTOCOL 7.4)."""
        batch, _ = cut_records(data, self.position)
        for index, sql in enumerate(batch.sql):
            record = batch.data[batch.start_of(index) - batch.position : batch.ends[index]]
            words = (sql or b"").decode().split()
            if words[:2] == ["INSERT", "INTO"] or words[:1] in (["UPDATE"], ["DELETE"]):
                table = words[1] if words[0] == "UPDATE" else words[2]
                if self._accepts(table):
                    self._send(encode_wal_header(len(record)), record)
                    continue
            self._send(encode_skip(len(record)))
        self.position = batch.end

    def _accepts(self, table: str) -> bool:
        if not self._names:
            return True
        chosen = [one for one in self._server.database.published if one[0] in self._names]
        return any(kind == 0 or (table in names) == (kind == 1) for _, kind, names in chosen)

"""One bit of a frame is turned over on its way: a copy loses nothing by it, and does not stop for it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spgrepl.replica.following.states import FollowerState
from spgrepl.server.role import Role
from spgrepl.testing import Cluster, assert_applied, assert_equal_databases, network
from spgrepl.testing.cluster import PrimaryNode
from spgrepl.wire.frames import HEADER_SIZE, FrameType
from spgrepl.wire.handshake import MAGIC_V1, MAGIC_V2

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"
KINDS = ("follower", "subscriber")
BITS = range(8)

_FRAME = struct.Struct("<BI")


class Damage:
    """Which frame is damaged: the first one of a type that comes from now on, once.

    Attributes:
        frame: The frame's type; None for none.
        bit: The bit that is turned over.
        place: In which byte of the frame; its type is the first one.
        done: How many frames were damaged.
    """

    def __init__(self) -> None:
        self.frame: FrameType | None = None
        self.bit = self.place = self.done = 0

    def arm(self, frame: FrameType, bit: int, place: int = 0) -> None:
        self.frame, self.bit, self.place = frame, bit, place

    def of(self, frame: int) -> tuple[int, int]:
        """The place in a frame where something is turned over, and what."""
        if frame != self.frame:
            return 0, 0
        self.frame = None
        self.done += 1
        return self.place, 1 << self.bit


class DamagedPipe(network._Pipe):
    """What a master sends, cut into frames in order to damage one."""

    def __init__(self, faults: network.Faults, hello: network._Pipe, damage: Damage) -> None:
        super().__init__(faults, hello.reactor)
        self._hello, self._damage = hello, damage
        self._sent = b""
        self._next: int | None = None
        self._turns: dict[int, int] = {}

    def put(self, data: bytes) -> None:
        start = len(self._sent)
        self._sent += data
        changed = bytearray(data)
        if self._next is None:
            self._next = self._end_of_reply()
        while self._next is not None and self._next + HEADER_SIZE <= len(self._sent):
            kind, length = _FRAME.unpack_from(self._sent, self._next)
            if self._next >= start:
                place, turned = self._damage.of(kind)
                self._turns[self._next + place] = turned
            self._next += HEADER_SIZE + length
        for place in [place for place in self._turns if start <= place < len(self._sent)]:
            changed[place - start] ^= self._turns.pop(place)
        super().put(bytes(changed))

    def _end_of_reply(self) -> int | None:
        hello = getattr(self._hello, "said", b"")
        if hello.startswith(MAGIC_V1) or len(self._sent) < 8:
            return None
        if not hello.startswith(MAGIC_V2):
            return 16 if len(self._sent) >= 16 else None
        (snapshot,) = struct.unpack_from("<Q", self._sent)
        end = 16 + snapshot if snapshot else 8
        return end if len(self._sent) >= end else None


class HeardPipe(network._Pipe):
    """What a copy sends."""

    said = b""

    def put(self, data: bytes) -> None:
        self.said += data
        super().put(data)


@pytest.fixture
def damage(monkeypatch: pytest.MonkeyPatch) -> Damage:
    made = Damage()

    class Connection(network.MemoryConnection):
        def __init__(self, of: network.MemoryNetwork, *args: Any) -> None:
            super().__init__(of, *args)
            self.client.out = HeardPipe(self.to_server, of.reactor)
            self.server.out = DamagedPipe(self.to_client, self.client.out, made)

    monkeypatch.setattr(network, "MemoryConnection", Connection)
    return made


@pytest.fixture
def cluster(tmp_path: Path, damage: Damage) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        yield made


def start(cluster: Cluster, kind: str) -> Role:
    return cluster.follower() if kind == "follower" else cluster.subscriber("p")


def begin(cluster: Cluster) -> PrimaryNode:
    primary = cluster.primary()
    primary.execute(TABLE)
    primary.execute("CREATE PUBLICATION p FOR TABLE t")
    return primary


def see_that_all_is_well(cluster: Cluster, primary: PrimaryNode, copy: Role, kind: str) -> None:
    """What was written, and is written after all that the damage leads to, is there; the role has not ended."""
    cluster.pass_time(12)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (100, 'last')"))
    cluster.pass_time(3)
    assert copy.status()["state"] == FollowerState.STREAMING.value
    assert_equal_databases(primary.paths.database, cluster.paths(kind).database, ["t"])


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("frame", [FrameType.STATUS, FrameType.WAL])
@pytest.mark.parametrize("kind", KINDS)
def test_of_a_stream(cluster: Cluster, damage: Damage, kind: str, frame: FrameType, bit: int) -> None:
    primary = begin(cluster)
    copy = start(cluster, kind)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, 'first')"))
    cluster.pass_time(3)
    damage.arm(frame, bit)
    for number in range(2, 6):
        primary.execute("INSERT INTO t VALUES (?, 'more')", (number,))
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize("frame", [FrameType.STATUS, FrameType.WAL])
@pytest.mark.parametrize("kind", KINDS)
def test_of_a_length(cluster: Cluster, damage: Damage, kind: str, frame: FrameType, place: int, bit: int) -> None:
    """A longer frame swallows those that follow it; the rest of a shorter one looks like frames."""
    primary = begin(cluster)
    copy = start(cluster, kind)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, 'first')"))
    cluster.pass_time(3)
    damage.arm(frame, bit, place)
    for number in range(2, 30):
        primary.execute("INSERT INTO t VALUES (?, 'more')", (number,))
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("kind", KINDS)
def test_of_the_status_of_a_master_that_writes_nothing(
    cluster: Cluster, damage: Damage, kind: str, bit: int
) -> None:
    """What is taken for a part of the log has no log after it that would show what it is."""
    primary = begin(cluster)
    copy = start(cluster, kind)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, 'first')"))
    cluster.pass_time(3)
    for _ in range(3):
        damage.arm(FrameType.STATUS, bit)
        cluster.pass_time(5)
    assert damage.done == 3
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("frame", [FrameType.STATUS, FrameType.WAL])
@pytest.mark.parametrize("kind", KINDS)
def test_of_what_is_compared(cluster: Cluster, damage: Damage, kind: str, frame: FrameType, bit: int) -> None:
    """A resumed stream begins with what the copy has already."""
    primary = begin(cluster)
    copy = start(cluster, kind)
    assert_applied(cluster.reactor, copy, primary.primary.position)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, ?)", ("x" * 600,)))
    cluster.pass_time(3)
    cluster.network.cut()
    damage.arm(frame, bit)
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("bit", BITS)
@pytest.mark.parametrize("frame", [FrameType.STATUS, FrameType.WAL])
@pytest.mark.parametrize("kind", KINDS)
def test_of_what_follows_a_snapshot(
    cluster: Cluster, damage: Damage, kind: str, frame: FrameType, bit: int
) -> None:
    """Nothing stands before it that could be compared."""
    primary = begin(cluster)
    damage.arm(frame, bit)
    copy = start(cluster, kind)
    cluster.until(lambda: cluster.network.made)
    cluster.pass_time(2)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, 'first')"))
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("place", [HEADER_SIZE, HEADER_SIZE + 5, HEADER_SIZE + 12])
@pytest.mark.parametrize("kind", KINDS)
def test_in_a_record_that_is_compared(cluster: Cluster, damage: Damage, kind: str, place: int) -> None:
    """This looks as a different history does, and is not taken for one before it was seen twice."""
    primary = begin(cluster)
    copy = start(cluster, kind)
    assert_applied(cluster.reactor, copy, primary.primary.position)
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, ?)", ("x" * 600,)))
    cluster.network.cut()
    damage.arm(FrameType.WAL, 2, place)
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("place", [HEADER_SIZE, HEADER_SIZE + 5, HEADER_SIZE + 12])
@pytest.mark.parametrize("kind", KINDS)
def test_in_the_first_record_after_a_snapshot(cluster: Cluster, damage: Damage, kind: str, place: int) -> None:
    primary = begin(cluster)
    copy = start(cluster, kind)
    assert_applied(cluster.reactor, copy, primary.primary.position)
    damage.arm(FrameType.WAL, 2, place)
    primary.execute("INSERT INTO t VALUES (1, 'first')")
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, kind)


@pytest.mark.parametrize("bit", BITS)
def test_of_a_skip(cluster: Cluster, damage: Damage, bit: int) -> None:
    """What it counts is a part of every position after it."""
    primary = begin(cluster)
    primary.execute("CREATE TABLE u (a)")
    copy = start(cluster, "subscriber")
    assert_applied(cluster.reactor, copy, primary.execute("INSERT INTO t VALUES (1, 'first')"))
    damage.arm(FrameType.SKIP, bit)
    primary.execute("INSERT INTO u VALUES (1)")
    primary.execute("INSERT INTO t VALUES (2, 'second')")
    cluster.until(lambda: damage.done)
    see_that_all_is_well(cluster, primary, copy, "subscriber")

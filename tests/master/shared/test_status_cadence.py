"""STATUS frames for few and for many connections: how often, to whom, in which order."""

from __future__ import annotations

from collections import Counter

import pytest

from spgrepl.master.shared.connections import Connections
from spgrepl.master.shared.status_cadence import FEW, LONGEST, StatusCadence
from spgrepl.watch.status import ConnectedPeer

INTERVAL = 0.05


class Peer:
    """A connection, as far as it matters here."""

    address = "somewhere"

    def __init__(self) -> None:
        self.at_rest = True

    def describe(self) -> ConnectedPeer:
        return ConnectedPeer(name=None, address=self.address, state="streaming", certificate=None, subscriber=None)


class Rig:
    """Connections whose STATUS frames take a given time each, and a count of these."""

    def __init__(self, count: int, cost: float) -> None:
        self.connections = Connections()
        self.time = 0.0
        self.cost = cost
        self.sent: Counter[Peer] = Counter()
        self.ticks = 0
        self.last: dict[Peer, int] = {}
        self.longest = 0
        self.cadence = StatusCadence(self.connections, INTERVAL, lambda: self.time)
        self.peers = [self.join() for _ in range(count)]

    def join(self) -> Peer:
        peer = Peer()
        self.connections.add(peer)  # type: ignore[arg-type]
        return peer

    def beat(self, times: int) -> None:
        for _ in range(times):
            self.ticks += 1
            self.cadence.tick(self.send)  # type: ignore[arg-type]

    def send(self, peer: Peer) -> None:
        self.time += self.cost
        self.longest = max(self.longest, self.ticks - self.last.get(peer, self.ticks))
        self.last[peer] = self.ticks
        self.sent[peer] += 1


def test_few_get_one_each_time_whatever_that_costs() -> None:
    rig = Rig(FEW, cost=0.01)
    rig.beat(20)
    assert set(rig.sent.values()) == {20}
    assert rig.cadence.seconds == INTERVAL


def test_many_get_one_each_time_while_that_is_cheap() -> None:
    rig = Rig(200, cost=0.000_005)
    rig.beat(100)
    assert set(rig.sent.values()) == {100}


@pytest.mark.parametrize(("count", "seconds"), [(300, 0.1), (1500, 0.5), (3000, 1.0), (10_000, LONGEST)])
def test_many_get_one_in_turn(count: int, seconds: float) -> None:
    """At 10 µs each, 3 % of a core are 3,000 a second."""
    rig = Rig(count, cost=0.000_010)
    # It takes some beats to learn what one costs.
    rig.beat(100)
    assert rig.cadence.seconds == pytest.approx(seconds, rel=0.01)
    rig.sent.clear()
    rig.longest, before = 0, rig.time
    rig.beat(100)
    assert set(rig.sent) == set(rig.peers)
    assert max(rig.sent.values()) - min(rig.sent.values()) <= 1
    # Nobody waits longer than that, but for the rounding of one beat.
    assert rig.longest <= round(seconds / INTERVAL) + 1
    if seconds < LONGEST:
        assert rig.time - before == pytest.approx(0.03 * 100 * INTERVAL, rel=0.1)


def test_those_who_do_not_rest_get_one_each_time() -> None:
    rig = Rig(3000, cost=0.000_010)
    rig.beat(100)
    busy = rig.peers[100]
    busy.at_rest = False
    rig.cadence.grew()
    rig.sent.clear()
    rig.beat(20)
    assert rig.sent[busy] == 20
    assert max(rig.sent[peer] for peer in rig.peers if peer is not busy) <= 2
    busy.at_rest = True
    rig.sent.clear()
    rig.beat(20)
    assert rig.sent[busy] <= 2


def test_thousands_who_do_not_rest_get_one_in_turn() -> None:
    """Else nothing were left of a core to send them what they wait for."""
    rig = Rig(3000, cost=0.000_010)
    for peer in rig.peers[:2990]:
        peer.at_rest = False
    rig.beat(100)
    rig.cadence.grew()
    rig.sent.clear()
    before = rig.time
    rig.beat(20)
    assert set(rig.sent) == set(rig.peers)
    assert max(rig.sent.values()) <= 2
    assert rig.time - before <= 0.032
    for peer in rig.peers[:2970]:
        peer.at_rest = True
    rig.sent.clear()
    rig.beat(20)
    assert {rig.sent[peer] for peer in rig.peers[2970:2990]} <= {19, 20}
    assert max(rig.sent[peer] for peer in rig.peers[:2970]) <= 2


def test_those_who_rest_are_not_forgotten_over_others() -> None:
    rig = Rig(3000, cost=0.000_010)
    for peer in rig.peers[:1000]:
        peer.at_rest = False
    rig.beat(100)
    rig.sent.clear()
    rig.beat(40)
    assert set(rig.sent) == set(rig.peers)


def test_newcomers_get_one_and_those_that_are_gone_none() -> None:
    rig = Rig(200, cost=0.000_010)
    rig.beat(50)
    new = rig.join()
    new.at_rest = False
    rig.beat(1)
    assert rig.sent[new] == 1
    gone = rig.peers[0]
    rig.connections.remove(gone)  # type: ignore[arg-type]
    rig.sent.clear()
    rig.beat(100)
    assert rig.sent[gone] == 0
    assert len(rig.sent) == 200


def test_whoever_goes_meanwhile_gets_none() -> None:
    rig = Rig(3, cost=0.0)
    first, second, _ = rig.peers

    def send(peer: Peer) -> None:
        rig.send(peer)
        if peer is first:
            rig.connections.remove(second)  # type: ignore[arg-type]

    rig.cadence.tick(send)  # type: ignore[arg-type]
    assert rig.sent[second] == 0


def test_nobody_is_there() -> None:
    rig = Rig(0, cost=1.0)
    rig.beat(3)
    assert rig.cadence.seconds == INTERVAL


def test_a_longer_interval_is_kept() -> None:
    cadence = StatusCadence(Connections(), 2.0)
    assert cadence.seconds == 2.0

"""What happens to all connections of a master at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.catalogue.definitions import Publications
from spgrepl.master.hub import MasterHub
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.master.shared.states import ConnectionState
from tests.master.kit import Master, frames, status, wal_of


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path, b"0123456789", publications=Publications())
    yield made
    made.close()


def test_growth_reaches_everybody(master: Master) -> None:
    peers = [master.follow(10), master.follow(4)]
    for peer in peers:
        peer.take()
    master.log.grow(b"abc")
    assert [wal_of(peer.take()) for peer in peers] == [b"abc", b"abc"]


def test_whoever_goes_while_others_are_told_is_not_told(master: Master) -> None:
    first, second = master.follow(10), master.follow(10)
    first.protocol.go_on = second.lose  # type: ignore[method-assign]
    master.log.grow(b"abc")
    assert second.protocol.state is ConnectionState.CLOSED
    assert b"abc" not in second.take()


def test_everybody_gets_a_status_once_an_interval(master: Master) -> None:
    peers = [master.follow(10), master.follow(10)]
    for peer in peers:
        peer.take()
    master.clock.advance(master.limits.status_interval)
    assert [peer.take() for peer in peers] == [status(10), status(10)]


def test_a_lost_log_ends_all_streams_with_the_length_of_what_is_there_now(master: Master) -> None:
    peer = master.follow(10)
    peer.take()
    master.log.lose(length=3)
    assert peer.closing
    assert [kind for kind, _ in frames(peer.take())] == [1]
    assert wal_of(master.follow(1).take()[3:]) == b"12"


def test_a_level_that_is_lowered_ends_subscribers_and_nobody_else(master: Master) -> None:
    follower, subscriber = master.follow(10), master.subscribe(10)
    master.level.set("replica")
    assert (follower.closing, subscriber.closing) == (False, True)
    assert master.hub.describe().refused == {"wal_level_replica": 1}


def test_deadlines_are_kept(tmp_path: Path) -> None:
    master = Master(tmp_path, limits=MasterLimits(handshake=5))
    silent, greeted = master.connect(), master.follow(0)
    master.pass_time(6)
    assert (silent.closing or silent.aborted, greeted.closing) == (True, False)
    assert master.hub.describe().refused == {"handshake_timeout": 1}
    master.close()


def test_a_stop_waits_for_those_that_take_their_leave_but_not_for_long(master: Master) -> None:
    quick, slow = master.follow(10), master.follow(10)
    told: list[None] = []
    master.hub.stop().addCallback(told.append)
    assert quick.closing
    quick.lose()
    assert (told, slow.aborted) == ([], False)
    master.clock.advance(2)
    assert slow.aborted
    slow.lose()
    assert told == [None]
    assert not master.clock.getDelayedCalls()


def test_those_who_came_before_it_was_started_are_served(tmp_path: Path) -> None:
    master = Master(tmp_path, b"0123")
    master.hub.stop()
    peer = master.follow(1)
    hub = MasterHub(master.context)
    hub.start()
    assert wal_of(peer.take()[3:]) == b"123"
    hub.stop()
    master.close()


def test_what_the_status_says(master: Master) -> None:
    master.follow(10)
    master.follow(10).lose()
    told = master.hub.describe()
    assert (told.connections, told.accepted, told.dropped) == (1, 2, {"peer_closed": 1})
    assert told.wal == {"path": str(master.log.path), "length": 10}
    assert [peer.address for peer in told.peers] == ["10.1.2.3:4711"]

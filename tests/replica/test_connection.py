"""A connection without a socket: where its states may lead, its deadline, and that any bytes are taken."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.connection_targets import follower_connection, subscriber_connection
from spgrepl.errors import PeerClosed, PeerTimeout
from spgrepl.replica.connection import Broken, Connection, Entered
from spgrepl.replica.following.connection import FollowerConnection, LinkState
from spgrepl.replica.subscribing.connection import SubscriberConnection
from spgrepl.wire.frames import Status, WalBytes, encode_status, encode_wal_header
from spgrepl.wire.handshake import FollowerHello, SnapshotData, SnapshotEnd, SnapshotStart, StreamVersion

V2 = StreamVersion.V2
KINDS: dict[str, type[Connection[Any]]] = {"follower": FollowerConnection, "subscriber": SubscriberConnection}

SNAPSHOT = (3).to_bytes(8, "little") + b"abc" + (500).to_bytes(8, "little")


def begun(now: float = 0.0) -> FollowerConnection:
    """A follower's connection that has asked for a snapshot."""
    connection = FollowerConnection(V2)
    connection.begin(None, now)
    return connection


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_state_is_in_the_table_and_can_be_reached(kind: type[Connection[Any]]) -> None:
    (ending,) = (state for state, following in kind.leads_to.items() if not following)
    states = set(type(ending))
    assert set(kind.leads_to) == states
    reached, first = {ending}, next(iter(kind.leads_to))
    to_see = [first]
    while to_see:
        state = to_see.pop()
        if state not in reached:
            reached.add(state)
            to_see += kind.leads_to[state]
    assert reached == states


def test_what_has_no_way_there_is_a_fault_of_this_program() -> None:
    connection = FollowerConnection(V2)
    with pytest.raises(AssertionError):
        connection._enter(LinkState.STREAMING, None)


def test_a_bootstrap_is_a_row_of_events() -> None:
    connection = FollowerConnection(V2)
    assert connection.begin(None, 10.0) == [Entered(LinkState.SNAPSHOT_LENGTH)]
    assert connection.bytes_to_send() == FollowerHello(V2, 0).encode()
    assert connection.bytes_to_send() == b""
    assert connection.deadline == 610.0
    frames = encode_wal_header(2) + b"xy" + encode_status(502, 7)
    assert connection.receive_bytes(SNAPSHOT + frames, 11.0) == [
        SnapshotStart(3),
        Entered(LinkState.SNAPSHOT_BODY),
        SnapshotData(b"abc"),
        Entered(LinkState.INSTALLING),
        SnapshotEnd(500),
    ]
    assert connection.deadline is None
    assert connection.answer(None, 20.0) == [
        Entered(LinkState.STREAMING),
        WalBytes(b"xy"),
        Status(502, 7),
    ]
    assert connection.received == 502
    assert connection.deadline == 35.0


def test_a_deadline_that_is_over_ends_it_but_not_while_nothing_is_read() -> None:
    connection = begun()
    connection.paused = True
    assert connection.time_out(600.0) == []
    assert connection.deadline == 1200.0
    connection.paused = False
    (event,) = connection.time_out(1200.0)
    assert isinstance(event, Broken)
    assert isinstance(event.error, PeerTimeout)
    assert connection.deadline is None


def test_nothing_happens_after_the_end() -> None:
    connection = begun()
    assert connection.close() == [Entered(LinkState.CLOSED)]
    assert connection.close() == []
    assert connection.begin(None, 1.0) == []
    assert connection.receive_bytes(SNAPSHOT, 1.0) == []
    assert connection.answer(None, 1.0) == []
    assert connection.deadline is None
    assert isinstance(connection.lost("as ordered"), PeerClosed)


@given(st.binary(max_size=200))
def test_any_bytes_are_taken_however_they_are_cut(data: bytes) -> None:
    follower_connection(data)
    subscriber_connection(data)


@given(st.binary(max_size=60))
def test_any_bytes_after_a_snapshot_are_taken(data: bytes) -> None:
    follower_connection(bytes([4]) + SNAPSHOT + data)


def test_no_connection_knows_a_reactor() -> None:
    names = ", ".join(f"spgrepl.replica.{kind}connection" for kind in ("", "following.", "subscribing."))
    code = f"import sys, {names}; print(*(name for name in sys.modules if name.startswith('twisted.internet')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []

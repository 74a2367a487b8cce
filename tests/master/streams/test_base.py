"""What all streams of a master do alike: pieces while the outlet takes them, faults told apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from zope.interface import implementer

from spgrepl.errors import EngineFailed, SpgReplError
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.socket_out import IOutlet
from spgrepl.master.shared.states import ConnectionState
from spgrepl.master.streams.base import Found, Stream
from tests.conftest import LoggedFailures
from tests.master.kit import Master


@implementer(IOutlet)
class Way:
    """A way out that takes so many pieces."""

    progress = 0

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent: list[bytes] = []
        self.rests = 0

    @property
    def ready(self) -> bool:
        return self.room > 0

    def send(self, piece: bytes | memoryview) -> None:
        self.send_all([piece])

    def send_all(self, pieces: Sequence[bytes | memoryview]) -> None:
        assert self.ready
        self.room -= 1
        self.sent += map(bytes, pieces)

    def rest(self) -> None:
        self.rests += 1
        self.room = 0


class Pieces(Stream):
    """Gives out what a test says; an exception is raised, a Deferred is waited for."""

    state = ConnectionState.STREAMING
    position = 0

    def __init__(self, master: Master, way: Way, *found: Any) -> None:
        self.ends: list[tuple[Cause, SpgReplError]] = []
        super().__init__(master.context, way, lambda *end: self.ends.append(end))  # type: ignore[arg-type]
        self.found = list(found)

    def begin(self) -> None:
        self.resume()

    def tick(self, status: bytes) -> None:
        """Nothing is sent."""

    def farewell(self) -> bytes:
        return b""

    def _find(self) -> Found | None:
        if not self.found:
            return None
        one = self.found.pop(0)
        if isinstance(one, Exception):
            raise one
        if isinstance(one, Deferred):
            self._wait_for(one, lambda result: result)
            return None
        return one  # type: ignore[no-any-return]


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path, bytes(10))
    yield made
    made.close()


def test_nothing_is_found_that_the_way_out_does_not_take(master: Master) -> None:
    way = Way(room=2)
    stream = Pieces(master, way, b"a", [b"b", b"c"], b"d", b"e")
    stream.begin()
    assert (way.sent, stream.found) == ([b"a", b"b", b"c"], [b"d", b"e"])
    way.room = 5
    stream.resume()
    assert way.sent[3:] == [b"d", b"e"]


def test_an_empty_piece_means_to_look_again(master: Master) -> None:
    way = Way(room=1)
    Pieces(master, way, b"", [], b"a").begin()
    assert way.sent == [b"a"]


def test_others_have_their_turn(master: Master) -> None:
    way = Way(room=100)
    stream = Pieces(master, way, *[bytes(master.context.burst // 2)] * 5)
    stream.begin()
    assert (len(way.sent), way.rests) == (2, 1)


def test_it_waits_for_a_read_and_goes_on_with_what_it_brought(master: Master) -> None:
    way, read = Way(room=9), Deferred[bytes]()
    stream = Pieces(master, way, b"a", read, b"c")
    stream.begin()
    stream.resume()
    assert way.sent == [b"a"]
    assert not stream.at_rest or not stream.found
    read.callback(b"b")
    assert way.sent == [b"a", b"b", b"c"]


def test_a_read_that_comes_after_the_end_is_let_go(master: Master) -> None:
    way, read = Way(room=9), Deferred[bytes]()
    stream = Pieces(master, way, read)
    stream.begin()
    stream.end()
    read.callback(b"late")
    stream.resume()
    assert (way.sent, stream.ends) == ([], [])


@pytest.mark.parametrize("error", [EngineFailed("no"), OSError("no")])
@pytest.mark.parametrize("later", [False, True])
def test_what_cannot_be_read_ends_the_connection(master: Master, error: Exception, later: bool) -> None:
    read = Deferred[bytes]()
    stream = Pieces(master, Way(room=9), read if later else error)
    stream.begin()
    if later:
        read.errback(error)
    ((cause, told),) = stream.ends
    assert cause is Cause.READ_FAILED
    assert "no" in str(told)


def test_a_fault_of_this_program_is_logged_and_ends_the_connection(
    master: Master, logged_failures: LoggedFailures
) -> None:
    read = Deferred[bytes]()
    stream = Pieces(master, Way(room=9), read)
    stream.begin()
    read.errback(ZeroDivisionError("a bug"))
    ((cause, told),) = stream.ends
    assert cause is Cause.FAULT
    assert "a bug" in str(told)
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


def test_at_rest_is_who_has_all_that_the_log_holds(master: Master) -> None:
    way = Way(room=1)
    stream = Pieces(master, way)
    assert not stream.at_rest
    stream.position = 10
    assert stream.at_rest
    way.room = 0
    assert not stream.at_rest

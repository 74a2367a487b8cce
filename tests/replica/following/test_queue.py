"""The queue between a connection and replay: bounded, in order, and empty after a failure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.errors import EngineFailed
from spgrepl.replica.following.queue import BATCH_BYTES, ReplayQueue


class HeldWorker:
    """A worker whose calls end when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[bytes], Deferred[Any]]] = []

    def call(self, function: object, pieces: list[bytes]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.calls.append((pieces, done))
        return done

    def finish(self, result: object = "progress") -> bytes:
        pieces, done = self.calls.pop(0)
        done.callback(result)
        return b"".join(pieces)

    def fail(self) -> None:
        self.calls.pop(0)[1].errback(EngineFailed("no room"))


class Rig:
    def __init__(self) -> None:
        self.worker = HeldWorker()
        self.progress: list[object] = []
        self.failures: list[Failure] = []
        replay: Any = self
        worker: Any = self.worker
        self.queue = ReplayQueue(worker, replay, self.progress.append, self.failures.append)
        self.queue.open()

    def apply(self) -> None:
        """What `Replay` has; never run here."""


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_one_batch_is_in_flight_while_the_next_gathers(rig: Rig) -> None:
    for piece in (b"a", b"b", b"c"):
        rig.queue.push(piece)
    assert len(rig.worker.calls) == 1
    assert rig.worker.finish() == b"a"
    assert len(rig.worker.calls) == 1
    assert rig.worker.finish() == b"bc"
    assert rig.worker.calls == []
    assert rig.progress == ["progress"] * 2


def test_the_water_marks(rig: Rig) -> None:
    piece = b"x" * (512 * 1024)
    rig.queue.push(piece)
    pushed = 0
    while not rig.queue.full:
        assert pushed < ReplayQueue.high_water
        rig.queue.push(piece)
        pushed += len(piece)
    assert pushed == ReplayQueue.high_water
    assert not rig.queue.drained
    sizes = []
    while rig.worker.calls:
        sizes.append(len(rig.worker.finish()))
        assert not rig.queue.full or len(sizes) == 0
    assert max(sizes) == BATCH_BYTES
    assert sum(sizes) == pushed + len(piece)
    assert rig.queue.drained
    assert ReplayQueue.low_water < ReplayQueue.high_water


def test_a_failure_forgets_what_waits(rig: Rig) -> None:
    for piece in (b"a", b"b"):
        rig.queue.push(piece)
    rig.worker.fail()
    assert [failure.type for failure in rig.failures] == [EngineFailed]
    rig.queue.push(b"c")
    assert rig.worker.calls == []
    assert rig.queue.drained
    rig.queue.open()
    rig.queue.push(b"d")
    assert rig.worker.finish() == b"d"


def test_a_connection_that_ends_forgets_what_waits(rig: Rig) -> None:
    for piece in (b"a", b"b"):
        rig.queue.push(piece)
    rig.queue.discard()
    assert rig.worker.finish() == b"a"
    assert (rig.worker.calls, rig.progress) == ([], ["progress"])


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=5), st.none()), max_size=40))
def test_all_bytes_come_in_order(steps: list[bytes | None]) -> None:
    rig = Rig()
    pushed, taken = b"", b""
    for step in steps:
        if step is not None:
            rig.queue.push(step)
            pushed += step
        elif rig.worker.calls:
            taken += rig.worker.finish()
        assert len(rig.worker.calls) <= 1
    while rig.worker.calls:
        taken += rig.worker.finish()
    assert taken == pushed

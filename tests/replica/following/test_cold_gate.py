"""The log waits until the rows that a snapshot has in cold segments are there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.worker import EngineWorker
from spgrepl.engines.cold_rows import IColdRows
from spgrepl.errors import ColdRowsMissing, EngineFailed, PeerClosed
from spgrepl.replica.following.cold_gate import EVERY, PATIENCE, ColdRowsGate
from spgrepl.testing.stepping import StepReactor


@implementer(IColdRows)
class Engine:
    """Needs the segments 1 and 2."""

    def __init__(self) -> None:
        self.pending = True
        self.forgone = False
        self.error: Exception | None = None

    def cold_rows_pending(self) -> bool:
        return self.pending

    def settle_cold_rows(self, segments: Mapping[int, Path]) -> str | None:
        if self.error is not None:
            raise self.error
        missing = sorted({1, 2} - segments.keys())
        return f"rows of segments {missing}" if missing else None

    def forgo_cold_rows(self) -> None:
        self.forgone = True


class Segments:
    """Those that came."""

    def __init__(self) -> None:
        self.confirmed: dict[int, Path] = {}
        self.finishing = False


class Queue:
    """The log that comes."""

    def __init__(self) -> None:
        self.held = False
        self.calls: list[str] = []

    def discard(self) -> None:
        self.calls.append("discard")

    def release(self) -> None:
        self.calls.append("release")


class Rig:
    def __init__(self, without: bool = False) -> None:
        self.clock, self.reactor = Clock(), StepReactor()
        self.worker = EngineWorker(self.reactor, "test")
        self.worker.start()
        self.engine, self.segments, self.queue = Engine(), Segments(), Queue()
        self.failures: list[Failure] = []
        parts: Any = (self.engine, self.segments, self.queue)
        self.gate = ColdRowsGate(self.worker, *parts, without)
        self.gate.tell(self.clock, self.failures.append)

    def came(self, number: int) -> None:
        self.segments.confirmed[number] = Path(f"seg_{number}.spg")
        self.gate.touched()

    def pass_time(self, seconds: float) -> None:
        while seconds > 0:
            self.clock.advance(EVERY)
            self.reactor.settle()
            seconds -= EVERY


def test_nothing_waits_where_no_rows_are_missing() -> None:
    rig = Rig()
    rig.engine.pending = False
    rig.gate.begin()
    assert (rig.gate.waiting, rig.queue.held, rig.clock.getDelayedCalls()) == (False, False, [])


def test_the_log_is_let_go_once_all_are_there() -> None:
    rig = Rig()
    rig.gate.begin()
    assert (rig.gate.waiting, rig.queue.held) == (True, True)
    rig.came(1)
    rig.pass_time(2)
    assert rig.gate.missing == "rows of segments [2]"
    rig.came(2)
    rig.pass_time(2)
    assert (rig.gate.waiting, rig.queue.held, rig.queue.calls) == (False, False, ["release"])
    assert rig.gate.missing is None
    assert rig.clock.getDelayedCalls() == []


def test_segments_that_do_not_come_stop_it_by_name() -> None:
    rig = Rig()
    rig.gate.begin()
    rig.pass_time(PATIENCE - 2)
    rig.came(1)
    rig.pass_time(PATIENCE - 2)
    assert rig.failures == []
    rig.pass_time(4)
    assert [failure.type for failure in rig.failures] == [ColdRowsMissing]
    assert "rows of segments [2]" in str(rig.failures[0].value)
    assert not rig.gate.waiting


def test_or_are_done_without_as_told() -> None:
    rig = Rig(without=True)
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    rig.gate.begin()
    rig.pass_time(PATIENCE + 2)
    globalLogPublisher.removeObserver(events.append)
    assert (rig.engine.forgone, rig.queue.calls, rig.failures) == (True, ["release"], [])
    assert rig.gate.missing is None
    said = " ".join(event["log_format"] or "" for event in events)
    assert "going on without rows" in said
    assert "all rows of the snapshot are there" not in said


def test_one_that_is_being_put_in_place_is_waited_for() -> None:
    rig = Rig()
    rig.segments.finishing = True
    rig.gate.begin()
    rig.pass_time(3 * PATIENCE)
    assert (rig.failures, rig.gate.waiting) == ([], True)


def test_a_log_that_was_let_go_is_asked_for_again() -> None:
    rig = Rig()
    assert not rig.gate.skip_log()
    rig.gate.begin()
    assert rig.gate.skip_log()
    rig.came(1)
    rig.came(2)
    rig.pass_time(2)
    assert rig.queue.calls == ["discard"]
    assert [failure.type for failure in rig.failures] == [PeerClosed]


@pytest.mark.parametrize("ended", [False, True])
def test_an_engine_that_cannot_put_them_in_ends_this_stream_and_no_later_one(ended: bool) -> None:
    rig = Rig()
    rig.engine.error = EngineFailed("the disk is full")
    rig.gate.begin()
    rig.clock.advance(EVERY)
    if ended:
        rig.gate.end()
    rig.reactor.settle()
    assert [failure.type for failure in rig.failures] == ([] if ended else [EngineFailed])
    assert not rig.gate.waiting

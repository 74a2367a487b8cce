"""One batch in flight while the next gathers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure

from spgrepl.base.worker import EngineWorker
from spgrepl.errors import EngineFailed
from spgrepl.replica.pump import Pump
from spgrepl.testing.stepping import StepReactor


class Texts(Pump[list[str], str]):
    """Hands on texts, all that wait together."""

    high_water = 10
    low_water = 4

    def __init__(self, worker: EngineWorker) -> None:
        self.progress: list[str] = []
        self.failures: list[Failure] = []
        self.applied: list[list[str]] = []
        super().__init__(worker, self.apply_one, self.progress.append, self.failures.append)
        self.texts: list[str] = []

    def apply_one(self, batch: list[str]) -> str:
        self.applied.append(batch)
        if "bad" in batch:
            raise EngineFailed("bad")
        return batch[-1]

    @property
    def waiting(self) -> int:
        return sum(map(len, self.texts))

    def push(self, text: str) -> None:
        if self._open:
            self.texts.append(text)
            self._hand_over()

    def _forget(self) -> None:
        self.texts.clear()

    def _take(self) -> tuple[list[str], int] | None:
        batch, self.texts = self.texts, []
        return (batch, sum(map(len, batch))) if batch else None


@pytest.fixture
def reactor() -> StepReactor:
    return StepReactor()


@pytest.fixture
def pump(reactor: StepReactor) -> Iterator[Texts]:
    worker = EngineWorker(reactor, "test")
    worker.start()
    made = Texts(worker)
    made.open()
    yield made
    worker.stop()


def test_what_comes_while_a_batch_is_applied_is_the_next_one(reactor: StepReactor, pump: Texts) -> None:
    for text in "abc":
        pump.push(text)
    reactor.settle()
    assert pump.applied == [["a"], ["b", "c"]]
    assert pump.progress == ["a", "c"]
    assert pump.measures["batch_bytes"].count == 2


def test_it_is_full_and_drained_by_what_waits(pump: Texts) -> None:
    pump.held = True
    pump.push("12345678")
    assert not pump.full
    pump.push("90")
    assert (pump.full, pump.drained) == (True, False)
    pump.texts = ["1234"]
    assert (pump.full, pump.drained) == (False, True)


def test_what_is_held_back_is_released(reactor: StepReactor, pump: Texts) -> None:
    pump.held = True
    pump.push("a")
    reactor.settle()
    assert pump.applied == []
    pump.release()
    reactor.settle()
    assert pump.applied == [["a"]]


def test_a_failure_is_told_and_nothing_more_is_handed_on_until_it_is_opened(
    reactor: StepReactor, pump: Texts
) -> None:
    for text in ("bad", "a", "b"):
        pump.push(text)
    reactor.settle()
    assert [failure.type for failure in pump.failures] == [EngineFailed]
    pump.push("c")
    reactor.settle()
    assert (pump.applied, pump.waiting, pump.progress) == ([["bad"]], 0, [])
    pump.open()
    pump.push("d")
    reactor.settle()
    assert pump.progress == ["d"]


def test_a_connection_that_ends_takes_what_waits_with_it(reactor: StepReactor, pump: Texts) -> None:
    pump.push("a")
    pump.push("b")
    pump.discard()
    reactor.settle()
    assert pump.progress == ["a"]  # this was under way

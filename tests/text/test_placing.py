"""How far the rows of a snapshot are in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.text.placing import AFTER, EVERY, STEPS, Placing, PlacingBoard, PlacingStep, snapshot_values

SAID = "the snapshot is put in place: "


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []

    def note(event: LogEvent) -> None:
        if SAID in (text := formatEvent(event)):
            found.append(text.partition(SAID)[2])

    globalLogPublisher.addObserver(note)  # type: ignore[arg-type]
    yield found
    globalLogPublisher.removeObserver(note)  # type: ignore[arg-type]


class Copying:
    """A board, and its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.board = PlacingBoard(1000, self.clock.seconds)

    @property
    def placing(self) -> Any:
        values = self.board.as_values()
        assert (values["received"], values["length"]) == (1000, 1000)
        return values["placing"]


def test_a_step_is_seen_from_its_beginning_to_the_end_of_the_call() -> None:
    copying = Copying()
    seen: list[Any] = [copying.placing]

    def work(result: str) -> str:
        assert PlacingStep("digest").wanted
        seen.append(copying.placing["step"])
        PlacingStep("copy")
        seen.append(copying.placing["step"])
        return result

    assert copying.board.run(work, "done") == "done"
    assert seen == [None, "digest", "copy"]
    assert copying.placing is None


def test_a_failure_ends_it_too() -> None:
    copying = Copying()

    def work() -> None:
        PlacingStep("copy")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        copying.board.run(work)
    assert copying.placing is None
    assert not PlacingStep("copy").wanted


def test_where_nobody_looks_nothing_is_told(lines: list[str]) -> None:
    step = PlacingStep("copy", rows_total=10)
    assert not step.wanted
    step.tell(rows=3)
    assert lines == []


def test_rows_say_how_much_is_done_and_how_many_bytes_there_will_be() -> None:
    copying = Copying()

    def work() -> None:
        step = PlacingStep("copy", rows_total=1000)
        assert copying.placing["share"] is None
        step.tell(rows=0)
        assert (copying.placing["share"], copying.placing["seconds_left"]) == (0, None)
        copying.clock.advance(2)
        step.tell(table="t", rows=250, bytes=4_000_000)
        assert copying.placing == {
            "step": "copy",
            "table": "t",
            "rows": 250,
            "rows_total": 1000,
            "bytes": 4_000_000,
            "bytes_total": 16_000_000,
            "share": 0.25,
            "bytes_per_second": 2_000_000,
            "seconds": 2,
            "seconds_left": 6,
        }
        step.tell(rows=1)  # too few to tell from
        assert copying.placing["bytes_total"] is None

    copying.board.run(work)


def test_where_only_bytes_are_known_they_say_it() -> None:
    placing = Placing(step="digest", began=0.0, bytes=50, bytes_total=200)
    assert placing.share == 0.25
    values = placing.as_values(10.0)
    assert (values["bytes_total"], values["seconds_left"], values["rows"]) == (200, 30, None)
    assert Placing(step="digest", began=0.0, bytes=300, bytes_total=200).share == 1
    assert Placing(step="digest", began=0.0, bytes=0, bytes_total=0).share is None


def test_the_log_hears_of_what_takes_long_and_not_too_often(lines: list[str]) -> None:
    copying = Copying()

    def work() -> None:
        step = PlacingStep("copy", rows_total=20_000)
        for rows in range(1, 3):
            copying.clock.advance(AFTER / 2)
            step.tell(table="t", rows=rows * 1000, bytes=rows * 1_000_000)
        copying.clock.advance(EVERY / 2)
        step.tell(rows=5000)
        copying.clock.advance(EVERY / 2)
        step.tell(rows=12_000, bytes=9_000_000)
        PlacingStep("commit").tell()

    copying.board.run(work)
    assert lines == [
        "rows are copied, table t, 2,000 of 20,000 rows, 1,000 rows/s, 2 of about 20 MB, 1.0 MB/s, 18 s left",
        "rows are copied, table t, 12,000 of 20,000 rows, 1,000 rows/s, 9 of about 15 MB, 0.8 MB/s, 8 s left",
    ]


def test_a_step_without_numbers_says_for_how_long_it_runs(lines: list[str]) -> None:
    copying = Copying()

    def work() -> None:
        step = PlacingStep("check")
        copying.clock.advance(AFTER)
        step.tell()

    copying.board.run(work)
    assert lines == ["it is checked, for 2 s"]


def test_each_step_can_be_said() -> None:
    for step in STEPS:
        assert Placing(step=step, began=0.0, rows=1).sentence(1.0).startswith(STEPS[step] + ", 1 row, ")


def test_a_snapshot_that_comes_is_put_nowhere_yet() -> None:
    assert snapshot_values(3, 10) == {"received": 3, "length": 10, "placing": None}

"""Lines of a log that strangers can cause are written at a bounded rate."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from spgrepl.master.shared.log_rate import BURST, PER_SECOND, LogRate
from spgrepl.text.role_log import RoleLogger


def lines_of(clock: Clock, rate: LogRate, count: int, seconds: float) -> list[str]:
    """What is written of `count` lines after some time."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        clock.advance(seconds)
        for number in range(count):
            rate.info("line {number}", number=number)
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [event["log_format"].format(**event) for event in events]


def test_so_many_at_once_and_so_many_in_a_second() -> None:
    clock = Clock()
    rate = LogRate(clock, RoleLogger())
    assert len(lines_of(clock, rate, BURST + 7, 0)) == BURST
    assert rate.left_out == 7
    first, *others = lines_of(clock, rate, 100, 1)
    assert "7 lines about connections were left out" in first
    assert len(others) == PER_SECOND
    assert rate.left_out == 7 + 100 - PER_SECOND


def test_room_does_not_grow_beyond_the_first() -> None:
    clock = Clock()
    rate = LogRate(clock, RoleLogger())
    assert len(lines_of(clock, rate, 1, 0)) == 1
    assert len(lines_of(clock, rate, BURST + 7, 10_000)) == BURST

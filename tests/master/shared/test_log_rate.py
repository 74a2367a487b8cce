"""Lines that peers cause: not more than one can read, and what repeats is counted."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent

from spgrepl.master.shared.log_rate import BURST, PER_SECOND, REPEAT_SECONDS, LogRate
from spgrepl.text.role_log import RoleLogger


class Lines:
    """What was written."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        self.rate = LogRate(self.clock, RoleLogger("test", observer=observer))

    @property
    def texts(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def closed(self, peer: str, reason: str) -> None:
        self.rate.repeated("closing {peer}: {reason}{again}", peer=peer, reason=reason)


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_there_are_no_more_than_one_can_read(lines: Lines) -> None:
    for number in range(BURST + 7):
        lines.rate.info("line {number}", number=number)
    assert len(lines.events) == BURST
    assert lines.rate.left_out == 7
    lines.clock.advance(1 / PER_SECOND)
    lines.rate.warn("later")
    assert lines.texts[-2:] == ["7 lines about connections were left out before this one", "later"]


def test_what_a_peer_causes_again_and_again_is_counted(lines: Lines) -> None:
    """It comes from another port each time, and may wait for another while."""
    for number in range(100):
        lines.clock.advance(20)
        lines.closed(f"10.0.0.1:{number}", f"refused after {number}.5 s")
    assert lines.texts == [
        "closing 10.0.0.1:0: refused after 0.5 s",
        "closing 10.0.0.1:9: refused after 9.5 s (10 times)",
        "closing 10.0.0.1:99: refused after 99.5 s (100 times)",
    ]
    assert lines.events[-1]["times"] == 100


def test_what_is_another_peer_or_reason_or_long_ago_is_new(lines: Lines) -> None:
    for peer, reason, seconds in (
        ("a", "full", 0),
        ("b", "full", 0),
        ("a", "late", 0),
        ("a", "late", 1),
        ("a", "late", REPEAT_SECONDS + 1),
    ):
        lines.clock.advance(seconds)
        lines.closed(peer, reason)
    assert lines.texts == ["closing a: full", "closing b: full", "closing a: late", "closing a: late"]


def test_memory_is_bounded(lines: Lines) -> None:
    for name in range(10_000):
        lines.closed("peer " + "x" * name, "full")
    assert len(lines.rate._told) <= 200


def test_room_does_not_grow_beyond_the_first(lines: Lines) -> None:
    lines.rate.info("one")
    lines.clock.advance(10_000)
    for _ in range(BURST + 7):
        lines.rate.info("more")
    assert len(lines.events) == 1 + BURST

"""One cold segment on its way."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, Logger

from spgrepl.segments.transfer import TELL_FROM, SegmentTransfer, follow_chain


def transfer() -> SegmentTransfer:
    return SegmentTransfer(7, 20, 100.0, Deferred(), at_once=True)


def test_no_step_is_taken_after_one_that_has_failed() -> None:
    under_way, steps = transfer(), list[str]()

    def bad() -> None:
        raise OSError("the disk is full")

    under_way.run(lambda: steps.append("first"))
    with pytest.raises(OSError, match="full"):
        under_way.run(bad)
    under_way.run(lambda: steps.append("second"))
    assert steps == ["first"]


def test_nor_after_it_was_given_up() -> None:
    under_way = transfer()
    under_way.given_up = True
    under_way.run(lambda: 1 / 0)


def test_each_tenth_of_a_big_one_is_told_once() -> None:
    events: list[LogEvent] = []
    log = Logger(observer=events.append)
    under_way = transfer()
    for chunk in range(1, 21):
        under_way.chunks, under_way.received = chunk, chunk * TELL_FROM // 10
        under_way.tell(log, 100.0 + chunk)
        under_way.tell(log, 100.0 + chunk)
    texts = [event["log_format"].format(**event) for event in events]
    assert len(texts) == 6  # from half of it on, where it is big enough
    assert texts[0].startswith("segment 7: 64 MiB, chunk 10 of 20, 6.7 MB/s, ")


def test_whoever_follows_a_chain_takes_nothing_of_it() -> None:
    chain: Deferred[Any] = Deferred()
    told: list[None] = []
    follow_chain(chain).addCallback(told.append)
    result: list[Any] = []
    chain.addBoth(result.append)
    chain.callback("kept")
    assert (told, result) == ([None], ["kept"])

"""Leaving out the record that a subscription has stopped at, and no other."""

from __future__ import annotations

import pytest

from spgrepl.errors import EngineFailed, ReplayStopped, UsageError
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.subscribing.skipping import StoppedAt

STOPPED = ReplayStopped(100, 0xABCD, "INSERT INTO t VALUES (1)", "no such table")


def test_the_record_that_it_stopped_at() -> None:
    at = StoppedAt("s")
    at.failed(STOPPED)
    assert at.order(100, 0xABCD) == SkipRequest(100, 0xABCD)


@pytest.mark.parametrize(("position", "crc"), [(101, 0xABCD), (100, 0xABCE)])
def test_another_record_is_refused_with_both(position: int, crc: int) -> None:
    at = StoppedAt("s")
    at.failed(STOPPED)
    at.failed(EngineFailed("the disk is full"))
    with pytest.raises(UsageError, match="has stopped at position 100, CRC 0000abcd, not at"):
        at.order(position, crc)


def test_nothing_is_skipped_once_it_goes_on() -> None:
    at = StoppedAt("s")
    with pytest.raises(UsageError, match="'s' has not stopped at a record"):
        at.order(100, 0xABCD)
    at.failed(STOPPED)
    at.reached(100)
    assert at.order(100, 0xABCD)
    at.reached(101)
    with pytest.raises(UsageError, match="has not stopped"):
        at.order(100, 0xABCD)

"""Dates and times as SPG stores them, to texts."""

from __future__ import annotations

import datetime as dt
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spg.values.clock import (
    DAY_US,
    date_text,
    interval_text,
    time_text,
    timestamp_text,
    timestamptz_text,
    timetz_text,
)

EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - without a zone, as they are stored


@given(st.dates())
def test_days_that_python_knows(day: dt.date) -> None:
    number = (day - EPOCH.date()).days
    for _ in range(2):  # the second time it is remembered
        assert date_text(number) == day.isoformat()


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (2**31 - 1, "infinity"),
        (-(2**31), "-infinity"),
        (-719_163, "0001-12-31 BC"),
        ((dt.date(357, 3, 15) - EPOCH.date()).days - 146_097, "0044-03-15 BC"),  # 400 years before
        (2_932_897, "10000-01-01"),
        (2**31 - 2, "5881580-07-10"),
    ],
)
def test_days_that_python_does_not_know(days: int, text: str) -> None:
    assert date_text(days) == text


@given(st.datetimes())
def test_moments_that_python_knows(moment: dt.datetime) -> None:
    number = (moment - EPOCH) // dt.timedelta(microseconds=1)
    text = moment.isoformat(" ")
    assert timestamp_text(number) == timestamp_text(number) == text
    assert timestamptz_text(number) == text + "+00"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2**63 - 1, "infinity"),
        (-(2**63), "-infinity"),
        (-719_163 * DAY_US + 1, "0001-12-31 00:00:00.000001 BC"),
        (-1, "1969-12-31 23:59:59.999999"),
    ],
)
def test_other_moments(number: int, text: str) -> None:
    assert timestamp_text(number) == text


def test_the_zone_stands_before_the_era() -> None:
    assert timestamptz_text(-719_163 * DAY_US) == "0001-12-31 00:00:00+00 BC"


def test_times() -> None:
    assert [time_text(number) for number in (0, 1, 86_399_999_999, -1_000_000)] == [
        "00:00:00",
        "00:00:00.000001",
        "23:59:59.999999",
        "-00:00:01",
    ]


@pytest.mark.parametrize(
    ("offset", "zone"), [(0, "+00"), (7200, "+02"), (-19_800, "-05:30"), (3601, "+01:00:01"), (-60, "-00:01")]
)
def test_times_with_an_offset(offset: int, zone: str) -> None:
    assert timetz_text(struct.pack("<qi", 3_600_000_000, offset)) == f"01:00:00{zone}"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ((1_500_000, 2, 3), "P3M2DT1.500000S"),
        ((-1, -2, -3), "P-3M-2DT-0.000001S"),
        ((2**63 - 1, 2**31 - 1, 2**31 - 1), "infinity"),
        ((-(2**63), -(2**31), -(2**31)), "-infinity"),
    ],
)
def test_intervals(parts: tuple[int, int, int], text: str) -> None:
    assert interval_text(struct.pack("<qii", *parts)) == text


def test_an_infinite_moment_is_infinite_whatever_was_read_before() -> None:
    last, first = 2**63 - 1, -(2**63)
    for near, end, said in ((last - 1, last, "infinity"), (first + 1, first, "-infinity")):
        for _ in range(2):
            assert timestamp_text(near) != said
            date_text(near // DAY_US)
            assert timestamp_text(end) == timestamptz_text(end) == said

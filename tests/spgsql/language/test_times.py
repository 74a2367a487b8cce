"""Dates, times and intervals: the texts of the reader of snapshots, or nothing. Python counts beside it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spgsql.language import times

FIRST, LAST = dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)  # noqa: DTZ001
MOMENTS = st.datetimes(FIRST, LAST)
OFFSETS = st.integers(-15 * 3600, 15 * 3600).map(lambda seconds: dt.timezone(dt.timedelta(seconds=seconds)))


@given(MOMENTS, OFFSETS, st.sampled_from(" T"))
def test_a_stamp_with_a_zone_is_the_moment_in_utc(moment: dt.datetime, zone: dt.timezone, between: str) -> None:
    text = moment.replace(tzinfo=zone).isoformat(between)
    wanted = moment.replace(tzinfo=zone).astimezone(dt.UTC).isoformat(" ").replace("+00:00", "+00")
    assert (times.timestamptz(text), times.timestamp(text)) == (wanted, moment.isoformat(" "))
    assert times.states_zone(text)
    assert not times.states_zone(moment.isoformat(between))


@given(MOMENTS)
def test_days_and_times_of_day(moment: dt.datetime) -> None:
    day, clock = moment.date().isoformat(), moment.time().isoformat()
    assert (times.date(f" {day} "), times.time(clock)) == (day, clock)
    assert times.timestamptz(day) == f"{day} 00:00:00+00"
    assert times.timetz(f"{clock}-07:30") == f"{clock}-07:30"


@given(
    st.integers(-5000, 5000),
    st.integers(-5000, 5000),
    st.timedeltas(dt.timedelta(0), dt.timedelta(hours=23, minutes=59)),
    st.sampled_from(["", "-", "+"]),
)
def test_the_parts_of_an_interval(months: int, days: int, clock: dt.timedelta, sign: str) -> None:
    hours, rest = divmod(clock, dt.timedelta(hours=1))
    minutes, rest = divmod(rest, dt.timedelta(minutes=1))
    micro = clock // dt.timedelta(microseconds=1) * (-1 if sign == "-" else 1)
    written = f"{months} mons {days} days {sign}{hours:02}:{minutes:02}:{rest.total_seconds():09.6f}"
    assert times.interval_parts(written) == (months, days, micro)
    apart = f"{days} D {months} month {micro} us"
    assert times.interval(written) == times.interval(apart)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (times.date, "-Infinity", "-infinity"),
        (times.date, "0044-3-15 BC", "0044-03-15 BC"),
        (times.date, "2024-02-29", "2024-02-29"),
        (times.timestamp, "2016-12-31 23:59:60", "2017-01-01 00:00:00"),
        (times.timestamp, "2016-12-31 24:00", "2017-01-01 00:00:00"),
        (times.timestamptz, "2024-01-01 00:00Z", "2024-01-01 00:00:00+00"),
        (times.timestamptz, "0001-01-01 00:00:00+1", "0001-12-31 23:00:00+00 BC"),
        (times.interval, "-0.5 s", "P0M0DT-0.500000S"),
        (times.interval, "1 year -2 weeks", "P12M-14DT0.000000S"),
    ],
)
def test_what_python_does_not_have(read: object, text: str, said: str) -> None:
    assert callable(read)
    assert read(text) == said


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (times.date, "2023-02-29"),
        (times.date, "0000-01-01"),
        (times.date, "01/02/2024"),
        (times.timestamp, "2024-01-01 24:00:01"),
        (times.timestamptz, "2024-01-01 00:00+16"),
        (times.timestamptz, "2024-01-01 00:00+01:60"),
        (times.time, "12:60"),
        (times.timetz, "12:00"),
        (times.interval, ""),
        (times.interval, "1 fortnight"),
        (times.interval, "1.5 days"),
        (times.interval, "1 day ago"),
        (times.interval, "2147483648 months"),
        (times.interval, "9223372036854775808 us"),
        (times.interval, f"{'9' * 5000} days"),
    ],
)
def test_what_means_more_than_one_thing_or_nothing(read: object, text: str) -> None:
    assert callable(read)
    assert read(text) is None

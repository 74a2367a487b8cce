"""Dates and times as SPG stores them, to texts: exact for every number, beyond what Python's datetime can hold.

Years before 1 are written as PostgreSQL does (``0044-03-15 BC``), the extreme numbers as ``infinity`` and
``-infinity``.
"""

from __future__ import annotations

import datetime as dt
import struct

DAY_US = 86_400_000_000
_I32_MAX, _I32_MIN = 2**31 - 1, -(2**31)
_I64_MAX, _I64_MIN = 2**63 - 1, -(2**63)
_EPOCH = dt.date(1970, 1, 1).toordinal()
_LAST = dt.date.max.toordinal()
_ERA_DAYS = 146_097
_ERA_YEARS = 400
_MOST_DAYS = 4096

_INFINITE_DAY = _I64_MAX // DAY_US
"""A time stamp of this day may mean infinity, and has to be looked at."""

_days: dict[int, str] = {}
"""Texts of days that were asked for lately: the rows of a table share few."""

_INTERVAL = struct.Struct("<qii")
_TIMETZ = struct.Struct("<qi")


def date_text(days: int) -> str:
    """A number of days since 1970-01-01, as a date of the proleptic Gregorian calendar."""
    found = _days.get(days)
    if found is None:
        if days == _I32_MAX:
            return "infinity"
        if days == _I32_MIN:
            return "-infinity"
        if len(_days) >= _MOST_DAYS:
            _days.clear()
        found = "".join(_day_of(days))
        if days != _INFINITE_DAY:
            _days[days] = found
    return found


def _day_of(days: int) -> tuple[str, str]:
    """A day, and `` BC`` where its year is before 1."""
    ordinal = days + _EPOCH
    if 1 <= ordinal <= _LAST:
        return dt.date.fromordinal(ordinal).isoformat(), ""
    eras, within = divmod(ordinal - 1, _ERA_DAYS)
    day = dt.date.fromordinal(within + 1)
    year = day.year + eras * _ERA_YEARS
    era = "" if year > 0 else " BC"
    return f"{year if year > 0 else 1 - year:04d}-{day.month:02d}-{day.day:02d}", era


def timestamp_text(microseconds: int, zone: str = "") -> str:
    """A number of microseconds since 1970-01-01, as date and time.

    Args:
        microseconds: The number.
        zone: What to write after the time.
    """
    days, within = divmod(microseconds, DAY_US)
    day = _days.get(days)
    if day is None or day.endswith("C"):
        if microseconds == _I64_MAX:
            return "infinity"
        if microseconds == _I64_MIN:
            return "-infinity"
        day, era = _day_of(days)
        if not era:
            date_text(days)
        return f"{day} {time_text(within)}{zone}{era}"
    seconds, fraction = divmod(within, 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    clock = f"{day} {minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return f"{clock}.{fraction:06d}{zone}" if fraction else clock + zone


def timestamptz_text(microseconds: int) -> str:
    """The same in UTC, said so."""
    return timestamp_text(microseconds, "+00")


def time_text(microseconds: int) -> str:
    """A number of microseconds since midnight, as a time."""
    sign = "-" if microseconds < 0 else ""
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    clock = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    return f"{clock}.{fraction:06d}" if fraction else clock


def timetz_text(body: bytes) -> str:
    """A time with its offset from UTC in seconds."""
    microseconds, offset = _TIMETZ.unpack(body)
    minutes, seconds = divmod(abs(offset), 60)
    zone = f"{'-' if offset < 0 else '+'}{minutes // 60:02d}"
    if minutes % 60 or seconds:
        zone += f":{minutes % 60:02d}"
    if seconds:
        zone += f":{seconds:02d}"
    return time_text(microseconds) + zone


def interval_text(body: bytes) -> str:
    """An interval, whose three parts are kept apart."""
    microseconds, days, months = _INTERVAL.unpack(body)
    if (microseconds, days, months) == (_I64_MAX, _I32_MAX, _I32_MAX):
        return "infinity"
    if (microseconds, days, months) == (_I64_MIN, _I32_MIN, _I32_MIN):
        return "-infinity"
    seconds, fraction = divmod(abs(microseconds), 1_000_000)
    return f"P{months}M{days}DT{'-' if microseconds < 0 else ''}{seconds}.{fraction:06d}S"

"""Dates, times and intervals as literals write them, to the texts that the reader of snapshots gives.

Only forms that mean one thing are read: ISO 8601 as PostgreSQL takes it. None is returned for every other.
"""

from __future__ import annotations

import datetime as dt
import re
import struct

from spgrepl.spg.values import clock

_DATE = r"(?P<year>[0-9]{4,6})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
_TIME = r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,6}))?)?"
_ZONE = r"(?P<zone>[Zz]|[+-][0-9]{1,2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)"
_ONLY_DATE = re.compile(rf"{_DATE}(?P<era>\s+BC)?")
_STAMP = re.compile(rf"{_DATE}(?:[ T]{_TIME}\s*{_ZONE}?)?(?P<era>\s+BC)?")
_CLOCK = re.compile(_TIME)
_CLOCK_ZONE = re.compile(rf"{_TIME}\s*{_ZONE}")
_ENDLESS = {"infinity": "infinity", "-infinity": "-infinity"}
_EPOCH = dt.date(1970, 1, 1).toordinal()
_ERA_YEARS, _ERA_DAYS = 400, 146_097


def _days(found: re.Match[str]) -> int | None:
    year, month, day = int(found["year"]), int(found["month"]), int(found["day"])
    if found["era"]:
        year = 1 - year
    if year == 0 and not found["era"]:
        return None
    eras = (year - 1) // _ERA_YEARS
    try:
        ordinal = dt.date(year - eras * _ERA_YEARS, month, day).toordinal()
    except ValueError:
        return None
    return ordinal + eras * _ERA_DAYS - _EPOCH


def _microseconds(found: re.Match[str]) -> int | None:
    """The time of day; a leap second and 24:00 are of the next minute and day, as PostgreSQL counts them."""
    if found["hour"] is None:
        return 0
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"] or 0)
    fraction = int((found["fraction"] or "").ljust(6, "0"))
    if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second or fraction)):
        return None
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction


def _offset(zone: str | None) -> int | None:
    """The seconds that a zone is ahead of UTC; None where none is stated, or it cannot be."""
    if zone is None:
        return None
    if zone in "Zz":
        return 0
    digits = zone[1:].replace(":", "")
    if len(digits) % 2:
        digits = "0" + digits
    parts = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)]
    if parts[0] > 15 or any(part > 59 for part in parts[1:]):
        return None
    seconds = sum(part * factor for part, factor in zip(parts, (3600, 60, 1), strict=False))
    return -seconds if zone[0] == "-" else seconds


def date(text: str) -> str | None:
    """A date."""
    text = text.strip()
    if text.lower() in _ENDLESS:
        return text.lower()
    found = _ONLY_DATE.fullmatch(text)
    days = None if found is None else _days(found)
    return None if days is None else clock.date_text(days)


def timestamp(text: str) -> str | None:
    """A time stamp without a zone; a zone that is written is not looked at, as PostgreSQL does not."""
    return _stamp(text, zoned=False)


def timestamptz(text: str) -> str | None:
    """A time stamp with a zone, in UTC. One that states none is read in UTC."""
    return _stamp(text, zoned=True)


def states_zone(text: str) -> bool:
    """Whether a time stamp says which zone it is of."""
    found = _STAMP.fullmatch(text.strip())
    return text.strip().lower() in _ENDLESS or (found is not None and found["zone"] is not None)


def _stamp(text: str, zoned: bool) -> str | None:
    text = text.strip()
    if text.lower() in _ENDLESS:
        return text.lower()
    found = _STAMP.fullmatch(text)
    if found is None:
        return None
    days, within = _days(found), _microseconds(found)
    if days is None or within is None:
        return None
    total = days * clock.DAY_US + within
    if not zoned:
        return clock.timestamp_text(total)
    offset = _offset(found["zone"])
    if found["zone"] is not None and offset is None:
        return None
    return clock.timestamptz_text(total - (offset or 0) * 1_000_000)


def time(text: str) -> str | None:
    """A time of day."""
    found = _CLOCK.fullmatch(text.strip())
    within = None if found is None else _microseconds(found)
    return None if within is None else clock.time_text(within)


def timetz(text: str) -> str | None:
    """A time of day with its zone; without one it would be the session's."""
    found = _CLOCK_ZONE.fullmatch(text.strip())
    if found is None:
        return None
    within, offset = _microseconds(found), _offset(found["zone"])
    if within is None or offset is None:
        return None
    return clock.timetz_text(struct.pack("<qi", within, offset))


# -- intervals ------------------------------------------------------------------------------------------------

_UNITS = {
    **dict.fromkeys(("year", "years", "y", "yr", "yrs"), (12, 0, 0)),
    **dict.fromkeys(("month", "months", "mon", "mons"), (1, 0, 0)),
    **dict.fromkeys(("week", "weeks", "w"), (0, 7, 0)),
    **dict.fromkeys(("day", "days", "d"), (0, 1, 0)),
    **dict.fromkeys(("hour", "hours", "h", "hr", "hrs"), (0, 0, 3_600_000_000)),
    **dict.fromkeys(("minute", "minutes", "min", "mins", "m"), (0, 0, 60_000_000)),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s"), (0, 0, 1_000_000)),
    **dict.fromkeys(("millisecond", "milliseconds", "ms"), (0, 0, 1_000)),
    **dict.fromkeys(("microsecond", "microseconds", "us"), (0, 0, 1)),
}
_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?[0-9]{1,20})(?P<fraction>\.[0-9]{1,6})?\s*(?P<unit>[a-z]+)", re.IGNORECASE
)
_SIGNED_CLOCK = re.compile(rf"\s*(?P<sign>[+-]?){_TIME}\s*\Z")


def interval(text: str) -> str | None:
    """An interval in whole units, and seconds with a fraction: ``1 day 02:03:04.5``, ``-3 months``."""
    parts = interval_parts(text)
    if parts is None:
        return None
    months, days, microseconds = parts
    if not (-(2**31) < months < 2**31 and -(2**31) < days < 2**31 and -(2**63) < microseconds < 2**63):
        return None
    return clock.interval_text(struct.pack("<qii", microseconds, days, months))


def interval_parts(text: str) -> tuple[int, int, int] | None:
    """The months, days and microseconds of such an interval."""
    months = days = microseconds = 0
    at, size = 0, len(text.rstrip())
    if not size:
        return None
    while at < size:
        found = _QUANTITY.match(text, at)
        if found is not None and found.end() <= size:
            unit = _UNITS.get(found["unit"].lower())
            if unit is None or (found["fraction"] and unit != (0, 0, 1_000_000)):
                return None
            number = int(found["number"])
            months, days = months + number * unit[0], days + number * unit[1]
            microseconds += number * unit[2]
            if found["fraction"]:
                part = int(found["fraction"][1:].ljust(6, "0"))
                microseconds += -part if found["number"].startswith("-") else part
            at = found.end()
            continue
        clock_part = _SIGNED_CLOCK.match(text, at)
        if clock_part is None:
            return None
        within = _microseconds(clock_part)
        if within is None:
            return None
        microseconds += -within if clock_part["sign"] == "-" else within
        break
    return months, days, microseconds

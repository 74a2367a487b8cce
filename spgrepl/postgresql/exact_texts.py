"""Texts that a server would take for a value and keep another one of: a day without its time, rounded cents."""

from __future__ import annotations

import re
from collections.abc import Callable

_DAY = r"\d{4,}-\d\d-\d\d"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.(?P<fraction>\d+))?)?"
_ZONE = r"(?:Z|UTC|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)"
_ENDLESS = r"-?infinity"
_MOST_DIGITS = 6
_LONGEST_NAME = 63

_TIMES = {
    "date": re.compile(rf"{_ENDLESS}|{_DAY}(?: BC)?"),
    "timestamp": re.compile(rf"{_ENDLESS}|{_DAY}(?:[ T]{_TIME}Z?)?(?: BC)?"),
    "timestamptz": re.compile(rf"{_ENDLESS}|{_DAY}(?:[ T]{_TIME}(?: ?{_ZONE})?)?(?: BC)?(?:{_ZONE})?"),
    "time": re.compile(_TIME),
    "timetz": re.compile(rf"{_TIME} ?{_ZONE}"),
}
_MONEY = re.compile(r"-?\$?\d+(?:\.\d{1,2})?")
_MOMENT = re.compile(r"(?i)\b(?:now|today|tomorrow|yesterday)\b")


def _time(base: str) -> Callable[[int, str], bool]:
    pattern = _TIMES[base]

    def is_exact(modifier: int, text: str) -> bool:
        found = pattern.fullmatch(text)
        if found is None:
            return False
        fraction = "" if base == "date" else (found["fraction"] or "").rstrip("0")
        return len(fraction) <= (modifier if modifier >= 0 else _MOST_DIGITS)

    return is_exact


_KINDS: dict[str, Callable[[int, str], bool]] = {
    **{base: _time(base) for base in _TIMES},
    "money": lambda _, text: _MONEY.fullmatch(text) is not None,
    "name": lambda _, text: len(text.encode()) <= _LONGEST_NAME,
    "char": lambda _, text: len(text.encode()) <= 1,
    # Of one with fields, or with fewer digits, the rest is cut off.
    "interval": lambda modifier, _: modifier < 0,
}
_OF_TIMES = ("_date", "_time", "date", "ts", "daterange")


def is_looked_at(base: str) -> bool:
    """Whether there are texts that a column of a type would keep another value of.

    Args:
        base: The name of the type in ``pg_type``.
    """
    return base in _KINDS or base.startswith(_OF_TIMES)


def is_exact(base: str, modifier: int, text: str) -> bool:
    """Whether a column keeps what a text says; the server itself refuses what is not a value of it.

    Args:
        base: The name of its type in ``pg_type``; that of an array begins with ``_``.
        modifier: Its parameters as ``pg_attribute.atttypmod`` has them; -1 without any.
        text: The text.
    """
    known = _KINDS.get(base)
    if known is not None:
        return known(modifier, text)
    return not (base.startswith(_OF_TIMES) and _MOMENT.search(text))

"""What SQLite is taught to run the statements of an SPG server's log: decimal numbers, LIKE, the order of dates.

No statement of a log can call these by name: only what was translated does.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from decimal import Decimal, InvalidOperation, localcontext
from functools import lru_cache
from typing import Any

import apsw

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.values import EXACT, numeric_text, real

NUMERIC_ORDER = "spgrepl_numeric"
"""The collation by which texts of decimal numbers are compared."""

TIME_ORDER = "spgrepl_time"
"""The collation by which texts of dates and time stamps are compared."""


class CannotCompute(StatementStopped):
    """A function met a value for which its result is not known."""


def register(connection: apsw.Connection) -> None:
    """Give a connection the functions and collations."""
    connection.create_collation(NUMERIC_ORDER, _compare_numbers)
    connection.create_collation(TIME_ORDER, _compare_times)
    for name, function in _FUNCTIONS.items():
        connection.create_scalar_function(name, function, -1, deterministic=True)
    connection.create_scalar_function("spgrepl_random", lambda *_: random.random(), 0)  # nosec B311
    connection.create_scalar_function("spgrepl_uuid", lambda *_: str(uuid.uuid4()), 0)


# -- numbers --------------------------------------------------------------------------------------------------


def _number(text: object) -> Decimal:
    try:
        return Decimal(str(text))
    except InvalidOperation as error:
        raise CannotCompute(f"{text!r} is not a decimal number") from error


def _key(text: str) -> tuple[int, Decimal]:
    """NaN is greater than all numbers, as PostgreSQL has it."""
    number = _number(text)
    return (1, Decimal(0)) if number.is_nan() else (0, number)


def _compare_numbers(one: str, two: str) -> int:
    left, right = _key(one), _key(two)
    return (left > right) - (left < right)


def _arithmetic(operate: Callable[[Decimal, Decimal], Decimal]) -> Callable[..., Any]:
    def run(one: object, two: object) -> str | None:
        if one is None or two is None:
            return None
        left, right = _number(one), _number(two)
        if not (left.is_finite() and right.is_finite()):
            raise CannotCompute("arithmetic with NaN or Infinity is not translated")
        try:
            with localcontext(EXACT):
                return format(operate(left, right), "f")
        except ArithmeticError as error:
            raise CannotCompute("arithmetic with that many digits is not translated") from error

    return run


def _rounded(value: object, precision: int, scale: int) -> str | None:
    if value is None:
        return None
    number = _number(value)
    return str(value) if not number.is_finite() else numeric_text(number, SpgType(69, (precision, scale)))


def _ordered(value: object) -> object:
    """A binary fraction that is compared by its order: the texts that stand for infinite ones have none."""
    if isinstance(value, str):
        raise CannotCompute(f"the order of {value} among numbers is not translated")
    return value


def _real(value: float | str | None) -> float | str | None:
    return real(value) if isinstance(value, (int, float)) else value


# -- texts ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _like_pattern(pattern: str, escape: str, ignore_case: bool) -> re.Pattern[str]:
    parts, at = [""], 0
    while at < len(pattern):
        character = pattern[at]
        if escape and character == escape:
            at += 1
            if at == len(pattern):
                raise CannotCompute("a pattern of LIKE ends with its escape")
            parts[-1] += re.escape(pattern[at])
        elif character == "%":
            parts.append("")
        else:
            parts[-1] += "." if character == "_" else re.escape(character)
        at += 1
    # A part between two % counts where it is found first, and is not looked for again: that would take as long as
    # the text to the power of the number of parts.
    first, *middle, last = parts if len(parts) > 1 else (*parts, "")
    text = first + "".join(f"(?>.*?{part})" for part in middle if part)
    text += f".*{last}" if len(parts) > 1 else ""
    return re.compile(text, re.DOTALL | (re.IGNORECASE | re.ASCII if ignore_case else 0))


def _like(value: object, pattern: object, escape: object, ignore_case: int) -> int | None:
    if value is None or pattern is None or escape is None:
        return None
    if ignore_case:
        _plain(value, "LIKE without case")
        _plain(pattern, "LIKE without case")
    found = _like_pattern(str(pattern), str(escape), bool(ignore_case)).fullmatch(str(value))
    return int(found is not None)


def _plain(value: object, what: str) -> str:
    """A text in which capital letters are those of ASCII: beyond, the tables of servers and of Python differ."""
    text = str(value)
    if not text.isascii():
        raise CannotCompute(f"{what} of a text beyond ASCII may differ from the master's")
    return text


def _fitting(value: object, most: int, in_bytes: int) -> object:
    """A text that a column takes as it is."""
    if value is None:
        return None
    text = str(value)
    if (len(text.encode("utf-8", "surrogatepass")) if in_bytes else len(text)) > most:
        raise CannotCompute(f"a text of more than {most} {'bytes' if in_bytes else 'characters'} in its column")
    return text


def _lower(value: object) -> str | None:
    return None if value is None else _plain(value, "lower()").lower()


def _upper(value: object) -> str | None:
    return None if value is None else _plain(value, "upper()").upper()


# -- dates and times ------------------------------------------------------------------------------------------


def _time_key(text: str) -> tuple[int, int, str]:
    if text == "infinity":
        return 2, 0, ""
    if text == "-infinity":
        return 0, 0, ""
    era = text.endswith(" BC")
    year, _, rest = text.removesuffix(" BC").partition("-")
    if not year.isdigit():
        return 1, 0, text  # a time of day
    return 1, 1 - int(year) if era else int(year), rest


def _compare_times(one: str, two: str) -> int:
    if len(one) >= 10 <= len(two) and one[4:5] == "-" == two[4:5] and one[-1] != "C" != two[-1]:
        return (one > two) - (one < two)
    left, right = _time_key(one), _time_key(two)
    return (left > right) - (left < right)


def _whole(value: Any, bits: int) -> Any:
    """A whole number of so many bits; SQLite makes a binary fraction of one that has more than 64."""
    if value is not None and not (isinstance(value, int) and -(1 << bits - 1) <= value < 1 << bits - 1):
        raise CannotCompute(f"{value} does not fit into a whole number of {bits} bits")
    return value


def _divisor(value: Any) -> Any:
    if value == 0:
        raise CannotCompute("what a division by zero is at the master is not known here")
    return value


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "spgrepl_add": _arithmetic(lambda one, two: one + two),
    "spgrepl_subtract": _arithmetic(lambda one, two: one - two),
    "spgrepl_multiply": _arithmetic(lambda one, two: one * two),
    "spgrepl_rounded": _rounded,
    "spgrepl_real": _real,
    "spgrepl_whole": _whole,
    "spgrepl_divisor": _divisor,
    "spgrepl_ordered": _ordered,
    "spgrepl_like": _like,
    "spgrepl_fitting": _fitting,
    "spgrepl_lower": _lower,
    "spgrepl_upper": _upper,
}

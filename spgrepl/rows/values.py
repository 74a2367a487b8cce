"""Values of SQLite as SQL text that reads back as the same value, bit for bit and type for type."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

_FIRST_INTEGER = -(2**63)
_LAST_INTEGER = 2**63 - 1
_LONGEST_NUMBER = 32


@attrs.frozen
class RawText:
    """Text that is not UTF-8, which SQLite may hold all the same.

    Attributes:
        content: Its bytes.
    """

    content: bytes


RowValue = int | float | str | bytes | RawText | None
"""What a column may hold. Text that is UTF-8 is always a `str`."""


def value_text(value: RowValue) -> str:
    """A value as canonical text.

    Args:
        value: The value, NaN excepted: in SQLite that is NULL, and is written so.

    Raises:
        OverflowError: An integer beyond 64 bits.
        ValueError: `RawText` that is UTF-8: it has to be a `str`. A string with a lone surrogate fails with one
            as well, where its text is encoded, or here if it holds NUL.
        TypeError: Something else.
    """
    writer = _WRITERS.get(type(value))
    if writer is None:
        # A subclass, such as an enumeration of numbers or a bool.
        writer = next((of for kind, of in _WRITERS.items() if isinstance(value, kind)), None)
        if writer is None:
            raise TypeError(f"a value of type {type(value).__name__} cannot stand in a row")
    return writer(value)


def same_value(one: RowValue, other: RowValue) -> bool:
    """Whether two values are the same in all respects, type and sign of zero included."""
    if one is other:
        return True
    if type(one) is not type(other) or one != other:
        return False
    return one != 0 or not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other)  # type: ignore[arg-type]


def _integer(value: int) -> str:
    if not _FIRST_INTEGER <= value <= _LAST_INTEGER:
        raise OverflowError(f"{value} does not fit into SQLite's 64-bit integers")
    return str(int(value))


def _float(value: float) -> str:
    """The shortest text that is this number: SQLite rounds decimal text correctly, as Python does."""
    if math.isfinite(value):
        return float.__repr__(value)
    if math.isnan(value):
        return "NULL"
    return "9e999" if value > 0 else "-9e999"


def _text(value: str) -> str:
    if "\0" in value:
        return _cast(value.encode("utf-8"))
    return "'" + value.replace("'", "''") + "'"


def _raw_text(value: RawText) -> str:
    try:
        value.content.decode("utf-8")
    except UnicodeDecodeError:
        return _cast(value.content)
    raise ValueError(f"{value!r} is UTF-8: such text is a str, or one text could be written in two ways")


def _cast(content: bytes) -> str:
    return f"CAST(x'{content.hex()}' AS TEXT)"


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: _integer,
    float: _float,
    str: _text,
    bytes: lambda value: f"x'{value.hex()}'",
    type(None): lambda _: "NULL",
    RawText: _raw_text,
}

# The same forms as a pattern, without a group of its own: what `value_of` takes.
NUMBER_PATTERN = rb"-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?"
TEXT_PATTERN = rb"'[^'\0]*+(?:''[^'\0]*+)*+'"
BLOB_PATTERN = rb"x'(?:[0-9a-f]{2})*+'"
_CAST_PATTERN = rb"CAST\(" + BLOB_PATTERN + rb" AS TEXT\)"
PRESENT_PATTERN = b"(?:" + b"|".join((TEXT_PATTERN, NUMBER_PATTERN, BLOB_PATTERN, _CAST_PATTERN)) + b")"
VALUE_PATTERN = b"(?:" + b"|".join((TEXT_PATTERN, NUMBER_PATTERN, b"NULL", BLOB_PATTERN, _CAST_PATTERN)) + b")"
LITERAL_PATTERN = b"(?:" + b"|".join((TEXT_PATTERN, NUMBER_PATTERN, b"NULL", BLOB_PATTERN)) + b")"


class NotCanonical(ValueError):
    """A text has the outer form of a value, and is not the one that `value_text` writes for any."""


def value_of(text: bytes) -> RowValue:
    """Read a value from its canonical text.

    Args:
        text: What `VALUE_PATTERN` matches, whole.

    Raises:
        NotCanonical: The value would be written in another way.
    """
    first = text[0]
    if first == 0x27:
        try:
            return text[1:-1].replace(b"''", b"'").decode("utf-8")
        except UnicodeDecodeError as error:
            raise NotCanonical(f"text that is not UTF-8: {error}") from error
    if first == 0x4E:
        return None
    if first == 0x78:
        return bytes.fromhex(text[2:-1].decode("ascii"))
    if first == 0x43:
        return _cast_value(text)
    return _number(text)


def _number(text: bytes) -> int | float:
    value: int | float
    if len(text) > _LONGEST_NUMBER:
        raise NotCanonical(f"a number of {len(text)} characters")
    if len(text) < 21 and not (b"." in text or b"e" in text):
        value = int(text)
        written = b"%d" % value
        if not _FIRST_INTEGER <= value <= _LAST_INTEGER:
            raise NotCanonical(f"the integer {value} does not fit into 64 bits")
    else:
        value = float(text)
        written = _float(value).encode("ascii")
    if written != text:
        raise NotCanonical(f"the number {text[:40]!r} would be written {written!r}")
    return value


def _cast_value(text: bytes) -> str | RawText:
    content = bytes.fromhex(text[len("CAST(x'") : -len("' AS TEXT)")].decode("ascii"))
    try:
        value = content.decode("utf-8")
    except UnicodeDecodeError:
        return RawText(content)
    if "\0" not in value:
        raise NotCanonical("text that could be written as it is")
    return value

"""Bodies of values that are as long as they say: bytes and a place in them to a value and the place after it.

A decoder raises `Short` where the bytes at hand end before the value does. Who called it knows whether more can be
read, and compares what is missing with the file first: nothing is allocated for a count before that.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

from spgrepl.spg.values.cursor import LONG, LONG_BYTES_FROM, LONG_STR_FROM
from spgrepl.text.quantities import number_of

FORM_FROM = 56
"""The version from which a NUMERIC begins with its form."""

Decode = Callable[[bytes, int], tuple[Any, int]]

_U16 = struct.Struct("<H").unpack_from
_U32 = struct.Struct("<I").unpack_from
_TWO_U32 = struct.Struct("<II").unpack_from
_LIMB_DIGITS = 9
_FORMS = {1: "NaN", 2: "Infinity", 3: "-Infinity"}
_MOST_EMPTY_ROWS = 65_535


class Short(Exception):
    """The bytes at hand end too early.

    Attributes:
        end: How many of them are needed at least, counted from the start of the buffer.
    """

    def __init__(self, end: int) -> None:
        super().__init__(end)
        self.end = end


class BadBody(Exception):
    """A value whose bytes break the rules; turned into an error that knows the file by who called the decoder."""


class UnknownTagInBody(BadBody):
    """A value with a tag inside that is not known."""


def json_text(value: object) -> str:
    """An array or object, as JSON."""
    return json.dumps(value, ensure_ascii=False)


# -- texts and bytes ------------------------------------------------------------------------------------------


def _escaped(long_from: int, version: int) -> Callable[[bytes, int], tuple[int, int]]:
    """A decoder of a length in two bytes."""
    escape = LONG if version >= long_from else -1

    def length(buf: bytes, at: int) -> tuple[int, int]:
        (count,) = _U16(buf, at)
        at += 2
        if count == escape:
            (count,) = _U32(buf, at)
            at += 4
        if at + count > len(buf):
            raise Short(at + count)
        return count, at

    return length


def text_decoder(version: int, long_from: int = LONG_STR_FROM) -> Decode:
    """A decoder of texts."""
    length = _escaped(long_from, version)

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        count, at = length(buf, at)
        return buf[at : at + count].decode(), at + count

    return decode


def bytes_decoder(version: int) -> Decode:
    """A decoder of byte strings."""
    length = _escaped(LONG_BYTES_FROM, version)

    def decode(buf: bytes, at: int) -> tuple[bytes, int]:
        count, at = length(buf, at)
        return buf[at : at + count], at + count

    return decode


def long_text(buf: bytes, at: int) -> tuple[str, int]:
    """A text with its length in four bytes."""
    (count,) = _U32(buf, at)
    at += 4
    if at + count > len(buf):
        raise Short(at + count)
    return buf[at : at + count].decode(), at + count


def fixed_decoder(form: str, convert: Callable[[Any], Any] | None = None) -> Decode:
    """A decoder of what always has the same length."""
    layout = struct.Struct("<" + form)
    unpack, size = layout.unpack_from, layout.size

    def plain(buf: bytes, at: int) -> tuple[Any, int]:
        return unpack(buf, at)[0], at + size

    def converted(buf: bytes, at: int) -> tuple[Any, int]:
        assert convert is not None
        return convert(unpack(buf, at)[0]), at + size

    return plain if convert is None else converted


# -- numbers --------------------------------------------------------------------------------------------------


def decimal_text(scaled: int, scale: int) -> str:
    """``scaled / 10^scale``, with every digit of the scale."""
    if not scale:
        return str(scaled)
    digits = str(abs(scaled)).rjust(scale + 1, "0")
    return f"{'-' if scaled < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


_CELL = struct.Struct("<QqB")
_WIDE_CELL = struct.Struct("<QqH")
_SCALED, _WIDE = _CELL.unpack_from, _WIDE_CELL.unpack_from


def plain_numeric(buf: bytes, at: int) -> tuple[str, int]:
    """A NUMERIC before version 56, and an element of NUMERIC[]: 16 bytes and a scale of one."""
    low, high, scale = _SCALED(buf, at)
    return decimal_text(high << 64 | low, scale), at + 17


def wide_numeric(buf: bytes, at: int) -> tuple[str, int]:
    """16 bytes and a scale of two."""
    low, high, scale = _WIDE(buf, at)
    return decimal_text(high << 64 | low, scale), at + 18


def formed_numeric(buf: bytes, at: int) -> tuple[str, int]:
    """A NUMERIC from version 56 on: its form comes first."""
    form = buf[at]
    if form == 0:
        low, high, scale = _SCALED(buf, at + 1)
        return decimal_text(high << 64 | low, scale), at + 18
    if form == 4:
        return wide_numeric(buf, at + 1)
    if form not in _FORMS:
        raise UnknownTagInBody(f"the form {form} of a NUMERIC")
    return _FORMS[form], at + 1


def numeric_decoder(version: int) -> Decode:
    """A decoder of NUMERIC cells."""
    return formed_numeric if version >= FORM_FROM else plain_numeric


def big_numeric_decoder(wide: bool) -> Decode:
    """A decoder of numbers beyond 128 bits, which stand in tagged values only."""
    head = struct.Struct("<BHH" if wide else "<BBH")

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        negative, scale, count = head.unpack_from(buf, at)
        at += head.size
        end = at + 4 * count
        if end > len(buf):
            raise Short(end)
        limbs = struct.unpack_from(f"<{count}I", buf, at)
        if negative > 1 or any(limb >= 10**_LIMB_DIGITS for limb in limbs):
            raise BadBody("a big NUMERIC with a sign or a limb that cannot be")
        digits = "".join(f"{limb:09d}" for limb in reversed(limbs)).lstrip("0").rjust(scale + 1, "0")
        whole, fraction = (digits[:-scale], "." + digits[-scale:]) if scale else (digits, "")
        return f"{'-' if negative and any(limbs) else ''}{whole}{fraction}", end

    return decode


# -- arrays ---------------------------------------------------------------------------------------------------


def elements_decoder(element: Decode, second: Decode | None = None) -> Decode:
    """A decoder of arrays: a count, then a flag and a value each.

    Args:
        element: Reads an element after the flag 0.
        second: Reads one after the flag 2, where there is such a thing.
    """

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        (count,) = _U16(buf, at)
        at += 2
        if at + count > len(buf):
            raise Short(at + count)
        found: list[Any] = []
        for _ in range(count):
            flag = buf[at]
            at += 1
            if flag == 0:
                value, at = element(buf, at)
                found.append(value)
            elif flag == 1:
                found.append(None)
            elif flag == 2 and second is not None:
                value, at = second(buf, at)
                found.append(value)
            else:
                raise UnknownTagInBody(f"the flag {flag} of an element of an array")
        return json_text(found), at

    return decode


def run_decoder(count_form: str, item: str, convert: Callable[[Any], Any] | None = None) -> Decode:
    """A decoder of arrays without NULL: a count, then numbers back to back."""
    count_of = struct.Struct("<" + count_form)
    width = struct.calcsize("<" + item)

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        (count,) = count_of.unpack_from(buf, at)
        at += count_of.size
        end = at + count * width
        if end > len(buf):
            raise Short(end)
        found = struct.unpack_from(f"<{count}{item}", buf, at)
        return json_text([*map(convert, found)] if convert is not None else found), end

    return decode


def grid_decoder(element: Decode | None) -> Decode:
    """A decoder of arrays of two dimensions.

    Args:
        element: Reads a cell after the flag 0; None for those whose flag is the value: 0 false, 1 true, 2 NULL.
    """

    def cell(buf: bytes, at: int) -> tuple[Any, int]:
        flag = buf[at]
        if element is None and flag <= 2:
            return (False, True, None)[flag], at + 1
        if element is not None and flag <= 1:
            return (None, at + 1) if flag else element(buf, at + 1)
        raise UnknownTagInBody(f"the flag {flag} of a cell of an array")

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        rows, columns = _TWO_U32(buf, at)
        at += 8
        if at + rows * columns > len(buf):
            raise Short(at + rows * columns)
        if not columns and rows > _MOST_EMPTY_ROWS:
            raise BadBody(f"an array of {number_of(rows, 'row')} without a column")
        grid = []
        for _ in range(rows):
            row = []
            for _ in range(columns):
                value, at = cell(buf, at)
                row.append(value)
            grid.append(row)
        return json_text(grid), at

    return decode


def hstore(buf: bytes, at: int) -> tuple[str, int]:
    """An HSTORE, as a JSON object."""
    (count,) = _U32(buf, at)
    at += 4
    if at + 5 * count > len(buf):
        raise Short(at + 5 * count)
    found: dict[str, str | None] = {}
    for _ in range(count):
        key, at = long_text(buf, at)
        has = buf[at]
        at += 1
        found[key] = None
        if has:
            found[key], at = long_text(buf, at)
    return json_text(found), at

"""Bodies of text search, ranges, geometry, networks and bits, as texts that PostgreSQL reads too."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any

from spgrepl.spg.values.bodies import BadBody, Decode, Short, UnknownTagInBody, text_decoder
from spgrepl.spg.values.cursor import LONG_BYTES_FROM

_U16 = struct.Struct("<H").unpack_from
_U32 = struct.Struct("<I").unpack_from
_HALF = struct.Struct("<e")
_WEIGHTS = "DCBA"
_OPERATORS = {1: (" & ", 2), 2: (" | ", 1)}
_PHRASE_PRECEDENCE, _NOT_PRECEDENCE = 3, 4
_EMPTY, _LOWER, _UPPER, _LOWER_IN, _UPPER_IN = 1, 2, 4, 8, 16
_MOST_KIND = 5
_ZONED_KIND = 4
_QUOTED = frozenset(' ,()[]{}"\\')


def real_text(value: float) -> str:
    """A binary fraction as the shortest text that is the same number again."""
    if value - value == 0:
        return repr(value)
    return "Infinity" if value > 0 else "-Infinity" if value < 0 else "NaN"


def finite(value: float) -> float | str:
    """A binary fraction, or the text of one that SQLite cannot store."""
    return value if value - value == 0 else real_text(value)


def _quoted_word(word: str) -> str:
    doubled = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


# -- text search ----------------------------------------------------------------------------------------------


def tsvector_decoder(version: int) -> Decode:
    """A decoder of TSVECTOR."""
    text = text_decoder(version, LONG_BYTES_FROM)

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        (count,) = _U16(buf, at)
        at += 2
        if at + 5 * count > len(buf):
            raise Short(at + 5 * count)
        words = []
        for _ in range(count):
            word, at = text(buf, at)
            (places,) = _U16(buf, at)
            at += 2
            end = at + 2 * places
            if end >= len(buf):
                raise Short(end + 1)
            positions = ",".join(map(str, struct.unpack_from(f"<{places}H", buf, at)))
            weight = buf[end]
            at = end + 1
            if weight >= len(_WEIGHTS):
                raise UnknownTagInBody(f"the weight {weight} of a TSVECTOR")
            letter = _WEIGHTS[weight] if weight else ""
            words.append(_quoted_word(word) + (f":{positions}{letter}" if positions or letter else ""))
        return " ".join(words), at

    return decode


def tsquery_decoder(version: int) -> Decode:
    """A decoder of TSQUERY; a loop, since a query may be nested as deeply as it is long."""
    text = text_decoder(version, LONG_BYTES_FROM)

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        pieces: list[str] = []
        todo: list[str | int] = [0]  # texts to write, and the precedence around a node to read
        while todo:
            task = todo.pop()
            if isinstance(task, str):
                pieces.append(task)
                continue
            kind = buf[at]
            at += 1
            if kind == 0:
                word, at = text(buf, at)
                pieces.append(_quoted_word(word) + _mask_text(buf[at]))
                at += 1
                continue
            if kind == 3:
                todo.append(_NOT_PRECEDENCE)
                pieces.append("!")
                continue
            if kind in _OPERATORS:
                operator, precedence = _OPERATORS[kind]
            elif kind == 4:
                (distance,) = _U16(buf, at)
                at += 2
                operator, precedence = (" <-> " if distance == 1 else f" <{distance}> "), _PHRASE_PRECEDENCE
            else:
                raise UnknownTagInBody(f"the node {kind} of a TSQUERY")
            if precedence < task:
                pieces.append("(")
                todo.append(")")
            # The right one is put in brackets where it has the same operator: that is how it was grouped.
            todo += [precedence + 1, operator, precedence]
        return "".join(pieces), at

    return decode


def _mask_text(mask: int) -> str:
    if mask >= 1 << len(_WEIGHTS):
        raise UnknownTagInBody(f"the weights {mask:#x} of a TSQUERY")
    letters = "".join(_WEIGHTS[bit] for bit in (3, 2, 1, 0) if mask >> bit & 1)
    return f":{letters}" if letters else ""


# -- ranges ---------------------------------------------------------------------------------------------------


def range_decoder(tagged: Decode, kind: int) -> Decode:
    """A decoder of ranges.

    Args:
        tagged: Reads a bound.
        kind: 0 int4, 1 int8, 2 numeric, 3 timestamp, 4 timestamptz, 5 date.
    """
    if kind > _MOST_KIND:
        raise UnknownTagInBody(f"the kind {kind} of a range")

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        flags = buf[at]
        at += 1
        lower: Any = None
        upper: Any = None
        if flags & _LOWER:
            lower, at = tagged(buf, at)
        if flags & _UPPER:
            upper, at = tagged(buf, at)
        if flags & _EMPTY:
            return "empty", at
        opening = "[" if flags & _LOWER_IN else "("
        closing = "]" if flags & _UPPER_IN else ")"
        return f"{opening}{_bound(lower, kind)},{_bound(upper, kind)}{closing}", at

    return decode


def _bound(value: object, kind: int) -> str:
    if value is None:
        return ""
    text = str(value)
    if kind == _ZONED_KIND and not text.endswith("infinity"):
        # The bounds of such ranges carry the tag of a timestamp without a zone.
        era = " BC" if text.endswith(" BC") else ""
        text = f"{text.removesuffix(era)}+00{era}"
    return f'"{text}"' if _QUOTED.intersection(text) else text


def tagged_range_decoder(tagged: Decode) -> Decode:
    """A decoder of a range that states its kind."""

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        found: tuple[str, int] = range_decoder(tagged, buf[at])(buf, at + 1)
        return found

    return decode


def multirange_decoder(tagged: Decode, kind: int) -> Decode:
    """A decoder of multiranges."""
    one = range_decoder(tagged, kind)

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        (count,) = _U16(buf, at)
        at += 2
        if at + count > len(buf):
            raise Short(at + count)
        found = []
        for _ in range(count):
            text, at = one(buf, at)
            found.append(text)
        return f"{{{','.join(found)}}}", at

    return decode


# -- geometry -------------------------------------------------------------------------------------------------


def shape_decoder(form: str) -> Decode:
    """A decoder of shapes with a set number of coordinates.

    Args:
        form: The text, with ``%s`` for each coordinate.
    """
    numbers = struct.Struct(f"<{form.count('%s')}d")

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        return form % tuple(map(real_text, numbers.unpack_from(buf, at))), at + numbers.size

    return decode


def _points(buf: bytes, at: int) -> tuple[str, int]:
    (count,) = _U32(buf, at)
    at += 4
    end = at + 16 * count
    if end > len(buf):
        raise Short(end)
    numbers = list(map(real_text, struct.unpack_from(f"<{2 * count}d", buf, at)))
    return ",".join(f"({x},{y})" for x, y in zip(numbers[::2], numbers[1::2], strict=True)), end


def polygon(buf: bytes, at: int) -> tuple[str, int]:
    """A POLYGON."""
    text, at = _points(buf, at)
    return f"({text})", at


def path(buf: bytes, at: int) -> tuple[str, int]:
    """A PATH, open or closed."""
    closed = buf[at]
    text, at = _points(buf, at + 1)
    return (f"({text})" if closed else f"[{text}]"), at


# -- networks, bits, identifiers ------------------------------------------------------------------------------


def network_text(body: bytes) -> str:
    """An INET or CIDR: family, bits of the prefix, 16 bytes."""
    family, bits = body[0], body[1]
    if family == 4 and bits <= 32:
        return f"{socket.inet_ntop(socket.AF_INET, body[2:6])}/{bits}"
    if family == 6 and bits <= 128:
        return f"{socket.inet_ntop(socket.AF_INET6, body[2:18])}/{bits}"
    raise BadBody(f"an address of family {family} with {bits} bits")


def hardware_text(body: bytes) -> str:
    """A MACADDR or MACADDR8."""
    return body.hex(":")


def uuid_text(body: bytes) -> str:
    """A UUID."""
    digits = body.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def bits(buf: bytes, at: int) -> tuple[str, int]:
    """A BIT or BIT VARYING."""
    (count,) = _U32(buf, at)
    at += 4
    size = (count + 7) // 8
    end = at + size
    if end > len(buf):
        raise Short(end)
    digits = "".join(f"{byte:08b}" for byte in buf[at:end])
    return digits[:count], end


def money_text(cents: int) -> str:
    """A number of cents, with two digits after the point."""
    whole, part = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{part:02d}"


def year_text(year: int) -> str:
    """A YEAR."""
    return f"{year:04d}"


def lsn_text(lsn: int) -> str:
    """A PG_LSN."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def char_text(body: bytes) -> str:
    """A ``"char"``: one byte."""
    return body.decode("latin-1")


# -- vectors --------------------------------------------------------------------------------------------------

_SQ8_HEAD = struct.Struct("<Iff").unpack_from


def sq8_vector(text_of: Callable[[object], str]) -> Decode:
    """A decoder of vectors of one byte a number, between a least and a greatest."""

    def decode(buf: bytes, at: int) -> tuple[str, int]:
        count, least, most = _SQ8_HEAD(buf, at)
        at += 12
        end = at + count
        if end > len(buf):
            raise Short(end)
        width = most - least
        if width <= 1e-12:
            return text_of([finite(least)] * count), end
        return text_of([finite(least + byte * width / 255) for byte in buf[at:end]]), end

    return decode

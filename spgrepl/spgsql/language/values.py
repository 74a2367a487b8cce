"""Literals as SPG stores them, put as the reader of snapshots would give them: the same value by either way."""

from __future__ import annotations

import ipaddress
import json
import math
import re
import struct
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Clamped, Context, Decimal, InvalidOperation, Overflow, Rounded, localcontext

from spgrepl.spg.values.bodies import json_text
from spgrepl.spg.values.texts import finite
from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language import times
from spgrepl.spgsql.language.arrays import read_array
from spgrepl.spgsql.language.lexing import Literal, TokenKind
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import (
    INTEGER_RANGES,
    NAME_BYTES,
    NAME_TAG,
    VARCHAR_TAG,
    Family,
    element_of,
    family_of,
)

Stored = int | float | str | bytes | None
"""What SQLite stores."""

DECIMALS = Context(prec=2000, rounding=ROUND_HALF_UP, Emax=10_000, Emin=-10_000)
"""Decimal numbers as PostgreSQL counts them: exact, and rounded away from zero where they are rounded."""

EXACT = Context(
    DECIMALS.prec,
    ROUND_HALF_UP,
    DECIMALS.Emin,
    DECIMALS.Emax,
    traps=[Clamped, InvalidOperation, Overflow, Rounded],
)
"""The same, where a number that would lose a digit is an error."""

_MOST_DIGITS = 4000
"""Of a whole number: Python reads no more than 4,300 at once."""

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUTHS = {
    **dict.fromkeys(("t", "true", "y", "yes", "on", "1"), 1),
    **dict.fromkeys(("f", "false", "n", "no", "off", "0"), 0),
}
_SPECIAL = {"nan": "NaN", "infinity": "Infinity", "inf": "Infinity", "-infinity": "-Infinity", "-inf": "-Infinity"}
_UUID = re.compile(r"\{?([0-9a-fA-F]{4}(?:-?[0-9a-fA-F]{4}){7})\}?")
_OCTAL = re.compile(r"\\(?:(\\)|([0-3][0-7]{2}))")


def stored(literal: Literal, kind: SpgType) -> Stored:
    """What a column of a type stores for a literal.

    Args:
        literal: The literal; a number with its sign.
        kind: The type.

    Raises:
        StatementStopped: What SPG stores for it cannot be told here.
    """
    if literal.kind is TokenKind.BYTES:
        if family_of(kind) is not Family.BYTEA:
            raise StatementStopped(f"bytes in a column of type {kind.label} are not translated")
        return bytes.fromhex(literal.text)
    found = _CONVERTERS[family_of(kind)](literal, kind)
    if isinstance(found, str) and "\0" in found:
        raise StatementStopped("a text with the character 0, which PostgreSQL does not have")
    return found


def _cannot(literal: Literal, kind: SpgType) -> StatementStopped:
    what = "the number" if literal.kind is TokenKind.NUMBER else "the string"
    shown = literal.text if len(literal.text) <= 60 else literal.text[:60] + "…"
    return StatementStopped(
        f"what SPG stores in a column of type {kind.label} for {what} {shown!r} is not known here"
    )


# -- numbers --------------------------------------------------------------------------------------------------


def _integer(literal: Literal, kind: SpgType) -> int:
    text = literal.text.strip()
    if len(text) > _MOST_DIGITS:
        raise _cannot(literal, kind)
    if _WHOLE.fullmatch(text):
        found = int(text)
    else:
        # A fraction is rounded by some versions and cut by others.
        exact = _decimal(text)
        if literal.kind is TokenKind.STRING or exact is None or exact != exact.to_integral_value():
            raise _cannot(literal, kind)
        found = int(exact)
    bits = INTEGER_RANGES.get(kind.tag, 63)
    if not -(2**bits) <= found < 2**bits:
        raise _cannot(literal, kind)
    return found


def _decimal(text: str) -> Decimal | None:
    if _DECIMAL.fullmatch(text) is None:
        return None
    try:
        return EXACT.create_decimal(text)
    except ArithmeticError:
        return None


def _float(literal: Literal, kind: SpgType) -> Stored:
    text = literal.text.strip()
    special = _SPECIAL.get(text.lower())
    if special is not None:
        return special
    if _DECIMAL.fullmatch(text) is None:
        raise _cannot(literal, kind)
    value = float(text)
    if family_of(kind) is Family.REAL:
        value = real(value)
    if math.isinf(value):
        raise _cannot(literal, kind)
    return value


def real(value: float) -> float:
    """A number as four bytes hold it."""
    try:
        found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return found


def numeric_text(value: Decimal, kind: SpgType) -> str:
    """A decimal number with the digits that a column of NUMERIC holds.

    Raises:
        StatementStopped: It has more digits than the column takes.
    """
    precision, scale = kind.parameters or (0, 0)
    if precision:
        try:
            with localcontext(DECIMALS):
                value = value.quantize(Decimal(1).scaleb(-scale))
        except InvalidOperation as error:
            raise StatementStopped(f"{value:.20e} does not fit into {kind.label}") from error
        if len(value.as_tuple().digits) > max(precision, 1) and value:
            raise StatementStopped(f"{value} does not fit into {kind.label}")
    text = format(value, "f")
    return text[1:] if text.startswith("-") and not value else text


def _numeric(literal: Literal, kind: SpgType) -> str:
    text = literal.text.strip()
    special = _SPECIAL.get(text.lower())
    limited = bool(kind.parameters and kind.parameters[0])
    if special is not None and literal.kind is TokenKind.STRING and (special == "NaN" or not limited):
        return special
    value = _decimal(text)
    if value is None:
        raise _cannot(literal, kind)
    return numeric_text(value, kind)


def _bool(literal: Literal, kind: SpgType) -> int:
    found = _TRUTHS.get(literal.text.strip().lower())
    if found is None or (literal.kind is TokenKind.NUMBER and literal.text not in ("0", "1")):
        raise _cannot(literal, kind)
    return found


def _money(literal: Literal, kind: SpgType) -> str:
    value = _decimal(literal.text.strip())
    try:
        rounded = None if value is None else DECIMALS.quantize(value, Decimal("0.01"))
    except InvalidOperation as error:
        raise _cannot(literal, kind) from error
    if rounded is None or rounded != value:
        raise _cannot(literal, kind)
    return format(rounded, "f")


def _year(literal: Literal, kind: SpgType) -> str:
    if re.fullmatch(r"[0-9]{4}", literal.text) is None:
        raise _cannot(literal, kind)
    return literal.text


# -- texts and bytes ------------------------------------------------------------------------------------------


def _text(literal: Literal, kind: SpgType) -> str:
    text = literal.text
    if literal.kind is TokenKind.NUMBER and _WHOLE.fullmatch(text) is None:
        # Whether it was a decimal or a binary fraction before it became a text decides how it is written.
        raise _cannot(literal, kind)
    if literal.kind is TokenKind.NUMBER:
        digits = text.lstrip("+-0") or "0"
        text = f"-{digits}" if text.startswith("-") and digits != "0" else digits
    if kind.tag == VARCHAR_TAG and len(text) > kind.parameters[0]:
        raise _cannot(literal, kind)
    if kind.tag == NAME_TAG and len(text.encode("utf-8", "surrogatepass")) > NAME_BYTES:
        # PostgreSQL cuts it.
        raise _cannot(literal, kind)
    return text


def _char(literal: Literal, kind: SpgType) -> str:
    text = _text(literal, kind)
    (length,) = kind.parameters or (1,)
    if len(text) > length:
        raise _cannot(literal, kind)
    return text.ljust(length)


def _bytea(literal: Literal, kind: SpgType) -> bytes:
    text = literal.text
    if literal.kind is not TokenKind.STRING:
        raise _cannot(literal, kind)
    try:
        if text.startswith("\\x"):
            return bytes.fromhex(text[2:])
        if "\\" in text:
            plain = _OCTAL.sub("", text)
            if "\\" in plain:
                raise _cannot(literal, kind)
            return b"".join(_escaped_parts(text))
        return text.encode()
    except ValueError as error:
        raise _cannot(literal, kind) from error


def _escaped_parts(text: str) -> list[bytes]:
    parts, at = [], 0
    for one in _OCTAL.finditer(text):
        parts.append(text[at : one.start()].encode())
        parts.append(b"\\" if one[1] else bytes((int(one[2], 8),)))
        at = one.end()
    parts.append(text[at:].encode())
    return parts


def _uuid(literal: Literal, kind: SpgType) -> str:
    found = _UUID.fullmatch(literal.text.strip())
    if found is None:
        raise _cannot(literal, kind)
    digits = found[1].replace("-", "").lower()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _json(literal: Literal, kind: SpgType) -> str:
    if literal.kind is not TokenKind.STRING:
        raise _cannot(literal, kind)
    return literal.text


def _network(literal: Literal, kind: SpgType) -> str:
    text = literal.text.strip()
    try:
        if kind.tag in (59, 60):
            digits = re.sub(r"[:.-]", "", text)
            size = 6 if kind.tag == 59 else 8
            if len(bytes.fromhex(digits)) != size:
                raise _cannot(literal, kind)
            return bytes.fromhex(digits).hex(":")
        if kind.tag == 58:
            return str(ipaddress.ip_network(text))
        return str(ipaddress.ip_interface(text))
    except ValueError as error:
        raise _cannot(literal, kind) from error


def _bits(literal: Literal, kind: SpgType) -> str:
    text, exact = literal.text, kind.tag == 70
    length = kind.parameters[0] if kind.parameters else None
    if re.fullmatch("[01]*", text) is None or literal.kind is not TokenKind.STRING:
        raise _cannot(literal, kind)
    if length is not None and (len(text) != length if exact else len(text) > length):
        raise _cannot(literal, kind)
    return text


# -- several values in one ------------------------------------------------------------------------------------


def _vector(literal: Literal, kind: SpgType) -> str:
    try:
        found = json.loads(literal.text)
    except ValueError as error:
        raise _cannot(literal, kind) from error
    if not isinstance(found, list):
        raise _cannot(literal, kind)
    return vector_text(found, kind)


def vector_text(numbers: list[object], kind: SpgType) -> str:
    """A vector as JSON, its numbers as SPG's bytes hold them.

    Raises:
        StatementStopped: It does not fit.
    """
    (length,) = kind.parameters or (0,)
    form = "<e" if kind.tag == 15 else "<f"
    if length and len(numbers) != length:
        raise StatementStopped(f"{len(numbers)} numbers do not fit into {kind.label}")
    try:
        return json_text([finite(struct.unpack(form, struct.pack(form, float(str(one))))[0]) for one in numbers])
    except (ValueError, OverflowError) as error:
        raise StatementStopped(f"what {kind.label} holds of these numbers is not known here") from error


def _array(literal: Literal, kind: SpgType) -> str:
    if literal.kind is not TokenKind.STRING:
        raise _cannot(literal, kind)
    element, dimensions = element_of(kind)
    items = read_array(literal.text.strip())
    if items is None:
        raise _cannot(literal, kind)
    return json_text(_elements(items, element, dimensions, literal, kind))


def _elements(items: list[object], element: SpgType, depth: int, literal: Literal, kind: SpgType) -> list[object]:
    found: list[object] = []
    for item in items:
        if isinstance(item, list):
            if depth < 2:
                raise _cannot(literal, kind)
            found.append(_elements(item, element, depth - 1, literal, kind))
        elif item is None:
            found.append(None)
        elif depth != 1:
            raise _cannot(literal, kind)
        else:
            found.append(element_value(Literal(TokenKind.STRING, str(item)), element))
    return found


def element_value(literal: Literal, element: SpgType) -> object:
    """An element of an array, as JSON has it."""
    value = stored(literal, element)
    if isinstance(value, bytes):
        return value.hex()
    return bool(value) if family_of(element) is Family.BOOL else value


# -- the table ------------------------------------------------------------------------------------------------


def _timed(read: Callable[[str], str | None]) -> Callable[[Literal, SpgType], Stored]:
    def convert(literal: Literal, kind: SpgType) -> str:
        found = read(literal.text) if literal.kind is TokenKind.STRING else None
        if found is None:
            raise _cannot(literal, kind)
        return found

    return convert


def _other(literal: Literal, kind: SpgType) -> Stored:
    raise _cannot(literal, kind)


_CONVERTERS: dict[Family, Callable[[Literal, SpgType], Stored]] = {
    Family.INTEGER: _integer,
    Family.FLOAT: _float,
    Family.REAL: _float,
    Family.NUMERIC: _numeric,
    Family.BOOL: _bool,
    Family.TEXT: _text,
    Family.CHAR: _char,
    Family.BYTEA: _bytea,
    Family.DATE: _timed(times.date),
    Family.TIMESTAMP: _timed(times.timestamp),
    Family.TIMESTAMPTZ: _timed(times.timestamptz),
    Family.TIME: _timed(times.time),
    Family.TIMETZ: _timed(times.timetz),
    Family.INTERVAL: _timed(times.interval),
    Family.UUID: _uuid,
    Family.JSON: _json,
    Family.VECTOR: _vector,
    Family.ARRAY: _array,
    Family.MONEY: _money,
    Family.YEAR: _year,
    Family.NETWORK: _network,
    Family.BITS: _bits,
    Family.OTHER: _other,
}

"""Which values fit a column of a server, and how they are written: exactly, or not at all.

A value that a column would keep in another form (a fraction cut off, a text padded) is a misfit, and no value is
converted in silence. What the server itself judges, such as whether a text is a date, is left to it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal

import attrs

from spgrepl.postgresql.exact_texts import is_exact
from spgrepl.rows.values import RawText, RowValue

_SHOWN = 60


class Misfit(Exception):
    """A value does not fit its column.

    Attributes:
        index: Which of the values.
        reason: What is wrong with it.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


@attrs.frozen
class ColumnType:
    """The type of a column, as far as it decides what fits.

    Attributes:
        sql: Its name as SQL has it, with its parameters, such as ``numeric(10,2)``.
        base: The name of the type in ``pg_type``, such as ``int8``; of a domain that of what it is made of.
        modifier: Its parameters as ``pg_attribute.atttypmod`` has them; -1 without any.
        bare: Its name without its parameters, such as ``numeric``.
        is_array: Whether it is an array.
        takes_numbers: Whether a text column takes numbers too, as their text: SQLite would read such a text as the
            number again.
    """

    sql: str
    base: str
    modifier: int = -1
    bare: str = ""
    is_array: bool = False
    takes_numbers: bool = False

    def encode(self, values: Sequence[RowValue]) -> list[str | None]:
        """Values as the server's text input takes them; None stands for NULL.

        Raises:
            Misfit: One of them does not fit.
        """
        writer = _WRITERS.get(self.base, _other)
        return writer(self, values)


Writer = Callable[[ColumnType, Sequence[RowValue]], list[str | None]]

_INTEGERS = frozenset({int})
_TEXTS = frozenset({str})
_LIMITS = {"int2": 2**15, "int4": 2**31, "int8": 2**63, "oid": 2**63}


def shown(value: RowValue) -> str:
    """A value, for people."""
    if isinstance(value, RawText):
        return f"the text {value.content[:_SHOWN]!r}, which is not UTF-8"
    kind = {int: "integer", float: "number", str: "text", bytes: "blob"}.get(type(value), "value")
    text = repr(value)
    return f"the {kind} {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"


def _misfit(of: ColumnType, index: int, value: RowValue, more: str = "") -> Misfit:
    return Misfit(index, f"{shown(value)} does not fit the type {of.sql}{more}")


def _integers(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    limit = _LIMITS[of.base]
    if set(map(type, values)) == _INTEGERS and -limit <= min(values) and max(values) < limit:  # type: ignore[type-var,operator]
        return list(map(str, values))
    return [_integer(of, index, value, limit) for index, value in enumerate(values)]


def _integer(of: ColumnType, index: int, value: RowValue, limit: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, int) or not -limit <= value < limit:
        raise _misfit(of, index, value)
    return str(int(value))


def _floats(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    return [_float(of, index, value) for index, value in enumerate(values)]


def _float(of: ColumnType, index: int, value: RowValue) -> str | None:
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise _misfit(of, index, value)
    if isinstance(value, int) and int(float(value)) != value:
        raise _misfit(of, index, value, " exactly")
    number = float(value)
    if of.base == "float4" and math.isfinite(number) and not _fits_float4(number):
        raise _misfit(of, index, value, " exactly")
    return float_text(number)


def _fits_float4(number: float) -> bool:
    try:
        return bool(struct.unpack("<f", struct.pack("<f", number))[0] == number)
    except OverflowError:
        return False


def float_text(number: float) -> str:
    """A number as text that reads back as the same 64 bits."""
    if math.isfinite(number):
        return float.__repr__(number)
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _numerics(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    return [_numeric(of, index, value) for index, value in enumerate(values)]


def _numeric(of: ColumnType, index: int, value: RowValue) -> str | None:
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise _misfit(of, index, value)
    if isinstance(value, float) and value == 0 and math.copysign(1, value) < 0:
        raise _misfit(of, index, value, ", which has no sign for zero")
    text = str(int(value)) if isinstance(value, int) else float_text(value)
    if of.modifier >= 4 and math.isfinite(value):
        scale = (of.modifier - 4) & 0x7FF
        scale = scale - 2048 if scale >= 1024 else scale
        # What has more digits after the point would be rounded.
        exponent = Decimal(text).normalize().as_tuple().exponent
        if isinstance(exponent, int) and -exponent > scale:
            raise _misfit(of, index, value, " exactly")
    return text


def _texts(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    if of.modifier < 0 and set(map(type, values)) == _TEXTS and "\0" not in "".join(values):  # type: ignore[arg-type]
        return list(values)  # type: ignore[arg-type]
    return [_text(of, index, value) for index, value in enumerate(values)]


def _text(of: ColumnType, index: int, value: RowValue) -> str | None:
    if value is None:
        return None
    if of.takes_numbers and isinstance(value, int | float):
        return str(int(value)) if isinstance(value, int) else float_text(value)
    if not isinstance(value, str):
        raise _misfit(of, index, value)
    if "\0" in value:
        raise Misfit(index, f"{shown(value)} holds a zero byte, which no text of PostgreSQL can")
    if of.modifier >= 4 and len(value) > of.modifier - 4:
        raise _misfit(of, index, value)
    return value


def _bytes(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    return [_blob(of, index, value) for index, value in enumerate(values)]


def _blob(of: ColumnType, index: int, value: RowValue) -> str | None:
    if value is None:
        return None
    if not isinstance(value, bytes):
        raise _misfit(of, index, value)
    return "\\x" + value.hex()


def _booleans(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    return [_boolean(of, index, value) for index, value in enumerate(values)]


def _boolean(of: ColumnType, index: int, value: RowValue) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and value in (0, 1):
        return "t" if value else "f"
    raise _misfit(of, index, value, ": only 0 and 1 do")


def _other(of: ColumnType, values: Sequence[RowValue]) -> list[str | None]:
    return [_any_text(of, index, value) for index, value in enumerate(values)]


def _any_text(of: ColumnType, index: int, value: RowValue) -> str | None:
    """Of other types the server reads texts, refuses those that it cannot read, and would cut some that it can."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and of.base in ("money", "xid", "xid8"):
        return str(value)
    if not isinstance(value, str):
        raise _misfit(of, index, value)
    if "\0" in value:
        raise Misfit(index, f"{shown(value)} holds a zero byte, which no text of PostgreSQL can")
    if not is_exact(of.base, of.modifier, value):
        raise _misfit(of, index, value, " exactly")
    return value


_WRITERS: dict[str, Writer] = {
    "int2": _integers,
    "int4": _integers,
    "int8": _integers,
    "oid": _integers,
    "float4": _floats,
    "float8": _floats,
    "numeric": _numerics,
    "text": _texts,
    "varchar": _texts,
    "bpchar": _texts,
    "bytea": _bytes,
    "bool": _booleans,
}

_MEANS_MORE = ("\\", "\t", "\n", "\r")


def copy_texts(values: Sequence[str | None]) -> list[str]:
    """Texts as COPY takes them."""
    if None not in values:
        together = "".join(values)  # type: ignore[arg-type]
        if not any(mark in together for mark in _MEANS_MORE):
            return values  # type: ignore[return-value]
    return ["\\N" if value is None else _copy_text(value) for value in values]


def _copy_text(value: str) -> str:
    if not any(mark in value for mark in _MEANS_MORE):
        return value
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def array_text(values: Sequence[str | None]) -> str:
    """Texts as one array of them."""
    return "{" + ",".join(["NULL" if value is None else _element(value) for value in values]) + "}"


def _element(value: str) -> str:
    if value.isalnum() and value.isascii() and value.upper() != "NULL":
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

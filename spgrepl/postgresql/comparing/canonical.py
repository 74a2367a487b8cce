"""A row as one text, the same at both ends: by an expression of SQL in the server, by Python here.

The texts of two values are equal when the server would store the one as the other. Each column's text begins with
its length where it could hold what separates columns, so that no two rows have one text.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from hashlib import md5
from math import isnan

import attrs

from spgrepl.postgresql.column_types import ColumnType, Misfit, float_text
from spgrepl.rows.values import RawText, RowValue

Writer = Callable[[RowValue], str]

_DECIMAL = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")

NULL = "~"
"""What stands for NULL; no value is written so."""

NUMBER, TEXT, BYTES = "number", "text", "bytes"
"""Types whose values are in the same order in SQLite and in every server: integers, texts byte for byte, blobs."""

_INTEGERS = frozenset({"int2", "int4", "int8"})
_ORDERS = {**dict.fromkeys(_INTEGERS, NUMBER), "text": TEXT, "varchar": TEXT, "bytea": BYTES}
_OWN_FORM = frozenset({"float4", "float8", "bytea", "bool"})


@attrs.frozen
class Canonical:
    """How the values of a column are written.

    Attributes:
        sql: The expression in the server, in which ``{0}`` stands for the column.
        form: What `struct` calls a number that is written as its bytes; empty for all else.
        write: The same here. What the column cannot hold is written as no value of the server is.
        plain: Turns what was written into a text that the server reads as the value.
    """

    sql: str
    write: Writer
    form: str = ""
    plain: Callable[[str], str] = str

    def shown(self, text: str) -> str:
        """A value that was written, for people: a text in quotation marks, without its length."""
        if text == NULL:
            return "NULL"
        length, colon, rest = text.partition(":")
        if self.form and len(text) == 2 * struct.calcsize(self.form):
            return repr(struct.unpack(self.form, bytes.fromhex(text))[0])
        return repr(rest) if colon and length.isdigit() else text

    def of(self, column: str) -> str:
        """The expression for a column: text, never NULL."""
        return f"coalesce({self.sql.format(column)}, '{NULL}')"

    def texts(self, values: Sequence[RowValue]) -> list[str]:
        """Values of the column, written."""
        write = self.write
        return [NULL if value is None else write(value) for value in values]


def order_of(of: ColumnType) -> str:
    """In which order its values are: `NUMBER`, `TEXT`, `BYTES`; empty for one that is not the same everywhere."""
    return "" if of.is_array else _ORDERS.get(of.base, "")


def family_of(of: ColumnType) -> str:
    """What types have in common whose values can be compared, as they are written here."""
    if of.base in _OWN_FORM and not of.is_array:
        return of.base
    whole = of.base in _INTEGERS or of.base in ("oid", "numeric")
    return NUMBER if whole and not of.is_array else TEXT


def canonical(of: ColumnType) -> Canonical:
    """How a type's values are written."""
    if of.base in ("int2", "int4", "int8", "oid"):
        return Canonical("{0}::text", _integer)
    if of.base == "float8":
        return Canonical("encode(float8send({0}), 'hex')", _float(">d"), ">d", _unpacked(">d"))
    if of.base == "float4":
        return Canonical("encode(float4send({0}), 'hex')", _float(">f"), ">f", _unpacked(">f"))
    if of.base == "numeric":
        return Canonical("trim_scale({0})::text", _numeric)
    if of.base == "bytea":
        return Canonical("encode({0}, 'hex')", _blob, plain=lambda text: f"\\x{text}")
    if of.base == "bool":
        return Canonical("({0}::int)::text", _boolean)
    if of.base == "bpchar":
        return Canonical(_measured("rtrim({0}::text)"), partial(_text, stripped=True), plain=_unmeasured)
    if of.takes_numbers:
        return Canonical(_measured("{0}::text"), _loose, plain=_unmeasured)
    return Canonical(_measured("{0}::text"), _text, plain=_unmeasured)


def value_of(of: ColumnType, text: str) -> RowValue:
    """The value of SQLite that is written as a text.

    Raises:
        Misfit: SQLite has no value that is written so.
    """
    if text == NULL:
        return None
    writer = canonical(of)
    plain, family = writer.plain(text), family_of(of)
    value: RowValue = plain
    if family == "bytea":
        value = bytes.fromhex(text)
    elif writer.form:
        value = float(struct.unpack(writer.form, bytes.fromhex(text))[0])
    elif family in (NUMBER, "bool"):
        value = int(plain) if plain.lstrip("-").isdigit() else float(plain)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = float(value)
    is_nan = isinstance(value, float) and isnan(value)  # which SQLite stores as NULL
    if is_nan or writer.write(value) != text:
        raise Misfit(0, f"SQLite has no value that is just {plain}")
    return value


def _measured(text: str) -> str:
    return f"(length({text})::text || ':' || {text})"


def _unmeasured(text: str) -> str:
    return text.partition(":")[2]


def _unpacked(form: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        return float_text(struct.unpack(form, bytes.fromhex(text))[0])

    return read


def _odd(value: RowValue) -> str:
    content = value.content if isinstance(value, RawText) else value
    return f"!{type(value).__name__} {content!r}"


def _integer(value: RowValue) -> str:
    return str(value) if isinstance(value, int) else _odd(value)


def _float(form: str) -> Writer:
    packer = struct.Struct(form)

    def write(value: RowValue) -> str:
        if not isinstance(value, int | float):
            return _odd(value)
        try:
            return packer.pack(value).hex()
        except OverflowError:
            return _odd(value)

    return write


def _numeric(value: RowValue) -> str:
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float | str):
        return _odd(value)
    # A database that was made of an SPG snapshot has all digits in a text.
    text = float_text(value) if isinstance(value, float) else value
    if _DECIMAL.fullmatch(text) is None:
        return text if isinstance(value, float) else _odd(value)
    plain = format(Decimal(text), "f")
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def _blob(value: RowValue) -> str:
    return value.hex() if isinstance(value, bytes) else _odd(value)


def _boolean(value: RowValue) -> str:
    return str(value) if isinstance(value, int) and value in (0, 1) else _odd(value)


def _text(value: RowValue, stripped: bool = False) -> str:
    if not isinstance(value, str):
        return _odd(value)
    value = value.rstrip(" ") if stripped else value
    return f"{len(value)}:{value}"


def _loose(value: RowValue) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value) if isinstance(value, int) else float_text(value)
    return _text(value)


# -- rows -----------------------------------------------------------------------------------------------------


def row_sql(columns: Sequence[tuple[str, Canonical]]) -> str:
    """The text of a row in the server.

    Args:
        columns: Each column, quoted, with how it is written.
    """
    return " || '|' || ".join(one.of(name) for name, one in columns)


def sum_sql(text: str) -> str:
    """The sum of the checksums of rows in the server.

    Args:
        text: The expression of a row's text.
    """
    digest = f"substr(md5(convert_to({text}, 'UTF8')), 1, 16)"
    return f"coalesce(sum(('x' || {digest})::bit(64)::bigint::numeric), 0)::text"


def row_texts(columns: Sequence[Canonical], values: Sequence[Sequence[RowValue]]) -> list[str]:
    """The texts of rows here.

    Args:
        columns: How each column is written.
        values: The values, column by column.
    """
    return list(
        map("|".join, zip(*[one.texts(column) for one, column in zip(columns, values, strict=True)], strict=True))
    )


def checksum(text: str) -> int:
    """The checksum of a row's text here."""
    return int.from_bytes(
        md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()[:8], "big", signed=True
    )

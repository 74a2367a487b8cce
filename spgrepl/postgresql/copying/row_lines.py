"""Rows as COPY takes them: together, so that many cost little, and so that no more are held than is needed.

`ColumnType` decides what fits a column, and how it is written. The compiled core writes what is common for it, and
leaves to it each row with something else; so what is written is the same with it and without.

Where all columns are of types whose binary form is as plain as their text, they go out binary: neither side writes
numbers in decimal, nor reads them. Else they are lines.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from spgrepl.compiled.core import CORE, Core
from spgrepl.postgresql.column_types import ColumnType, Misfit, copy_texts
from spgrepl.postgresql.exact_texts import is_looked_at
from spgrepl.rows.values import RowValue

SourceRow = tuple[RowValue, ...]

ENOUGH = 128 * 1024
"""So many bytes are written at once, about; what is held does not grow with the table."""

_MOST_ROWS = 2000
_TAKES_NO_NULL = 0x80
_CODES = {"int2": "2", "int4": "4", "int8": "8", "oid": "8", "float8": "f", "bytea": "x", "bool": "b"}
_TEXTS = frozenset({"text", "varchar", "bpchar"})
_BY_PYTHON = frozenset({"float4", "money", "xid", "xid8"})
_BINARY: dict[str, Callable[[str], bytes]] = {
    "int2": lambda text: struct.pack(">h", int(text)),
    "int4": lambda text: struct.pack(">i", int(text)),
    "int8": lambda text: struct.pack(">q", int(text)),
    "float8": lambda text: struct.pack(">d", float(text)),
    "bool": lambda text: b"\1" if text == "t" else b"\0",
    "bytea": lambda text: bytes.fromhex(text.removeprefix("\\x")),
    **dict.fromkeys(_TEXTS, str.encode),
}
"""What a value is in binary, by its text as `ColumnType.encode` gives it."""

_SIZE = struct.Struct(">i")
_NULL = _SIZE.pack(-1)
_WIDTH = struct.Struct(">h")
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)


class RowMisfit(Exception):
    """A row does not fit.

    Attributes:
        index: Which one, of those that were asked for.
    """

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


class RowLines:
    """Writes the rows of one table.

    Args:
        types: The types of its columns, in the order of their values.
        required: For each column whether it takes no NULL.
        binary: Whether they go out binary where all types have such a form.
        core: The compiled core.

    Attributes:
        options: What the COPY is to say of the form of the rows.
        head: What stands before all of them.
        end: What stands after them.
    """

    def __init__(
        self,
        types: Sequence[ColumnType],
        required: Sequence[bool],
        binary: bool = True,
        core: Core | None = CORE,
    ) -> None:
        self._binary = binary and all(one.base in _BINARY for one in types)
        self.options = " (FORMAT binary)" if self._binary else ""
        self.head, self.end = (_SIGNATURE, _WIDTH.pack(-1)) if self._binary else (b"", b"")
        self._types = types
        self._required = required
        codes = [_code_of(one) for one in types]
        self._core = core if all(codes) else None
        self._codes = bytes(
            ord(code) | (_TAKES_NO_NULL if needed else 0)
            for code, needed in zip(codes, required, strict=True)
            if code
        )

    def take(self, rows: Iterator[SourceRow]) -> tuple[bytes, int]:
        """Write the next rows.

        Args:
            rows: Gives them.

        Returns:
            What is written of them, and how many there are; none when there are no more rows.

        Raises:
            RowMisfit: One does not fit.
        """
        if self._core is None:
            gathered = _gather(rows)
            return self._write(gathered, 0), len(gathered)
        lines = b""
        count = 0
        while len(lines) < ENOUGH:
            more, number, other = self._core.copy_rows(self._codes, rows, ENOUGH - len(lines), self._binary)
            lines = lines + more if lines else more
            count += number
            if other is None:
                break
            lines += self._write([other], count)
            count += 1
        return lines, count

    def _write(self, rows: Sequence[SourceRow], before: int) -> bytes:
        if not rows:
            return b""
        written: list[list[Any]] = []
        misfits = []
        for of, required, values in zip(self._types, self._required, zip(*rows, strict=True), strict=True):
            if required and None in values:
                misfits.append(values.index(None))
            try:
                texts = of.encode(values)
                written.append(_sized(of, texts) if self._binary else copy_texts(texts))
            except Misfit as misfit:
                misfits.append(misfit.index)
        if misfits:
            raise RowMisfit(before + min(misfits))
        if self._binary:
            width = _WIDTH.pack(len(written))
            return b"".join([width + b"".join(row) for row in zip(*written, strict=True)])
        return ("\n".join(map("\t".join, zip(*written, strict=True))) + "\n").encode()


def _sized(of: ColumnType, texts: Sequence[str | None]) -> list[bytes]:
    """Values in binary, each with its size before it."""
    convert = _BINARY[of.base]
    values = [None if text is None else convert(text) for text in texts]
    return [_NULL if value is None else _SIZE.pack(len(value)) + value for value in values]


def _gather(rows: Iterator[SourceRow]) -> list[SourceRow]:
    """As many rows as are enough."""
    gathered: list[SourceRow] = []
    size = 0
    for row in rows:
        gathered.append(row)
        size += sum([len(value) for value in row if isinstance(value, str | bytes)])
        if size >= ENOUGH or len(gathered) >= _MOST_ROWS:
            break
    return gathered


def _code_of(of: ColumnType) -> str | None:
    """What the core calls a type; None where its values need a closer look."""
    if of.base in _TEXTS:
        return None if of.modifier >= 4 else "T" if of.takes_numbers else "t"
    if of.base == "numeric":
        return None if of.modifier >= 4 else "n"
    return None if of.base in _BY_PYTHON or is_looked_at(of.base) else _CODES.get(of.base, "t")

"""INSERTs that follow each other and differ in nothing but their values: as lines of a COPY, text to text.

No value becomes an object of Python. Whatever is not quite plain is left to the slower way, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import attrs

from spgrepl.postgresql.column_types import ColumnType
from spgrepl.postgresql.tables import Table
from spgrepl.rows.recognise import InsertRun
from spgrepl.rows.values import LITERAL_PATTERN

SHORTEST = 50
"""So many INSERTs are worth being taken as a run."""

LONGEST = 20_000

_INTEGERS = re.compile(rb"[-0-9,]+")
_INTEGERS_OR_NULL = re.compile(rb"[-0-9,NUL]+")
_NUMBERS_OR_NULL = re.compile(rb"[-+0-9.e,NUL]+")
_SPECIAL = (b"\\", b"\t", b"\n", b"\r")

Column = Sequence[bytes]


@attrs.frozen(eq=False)
class Run:
    """A run of INSERTs.

    Attributes:
        number: The number of the first among the statements of its transaction.
        statements: Their texts.
        found: What they have in common, and their values.
    """

    number: int
    statements: Sequence[bytes]
    found: InsertRun


def copy_lines(run: Run, table: Table) -> bytes | None:
    """The lines of a COPY.

    Returns:
        The lines; None where a value needs a closer look, or does not fit.
    """
    shape = run.found.shape
    rows = _row_values(shape.count).findall(run.found.rows)
    if len(rows) != run.found.count:
        return None
    columns: list[Column] = [*zip(*rows, strict=True)] if shape.count > 1 else [rows]
    written = []
    for name, values in zip(shape.columns, columns, strict=True):
        column = table.columns.get(name)
        lines = None if column is None or column.generated else _lines(column.type, values)
        if lines is None:
            return None
        written.append(lines)
    return b"\n".join(map(b"\t".join, zip(*written, strict=True))) + b"\n"


@lru_cache(maxsize=64)
def _row_values(count: int) -> re.Pattern[bytes]:
    return re.compile(rb"\(" + b",".join([b"(" + LITERAL_PATTERN + b")"] * count) + rb"\)")


def _lines(of: ColumnType, values: Column) -> Column | None:
    writer = _WRITERS.get(of.base)
    return None if writer is None or of.modifier >= 0 or of.takes_numbers else writer(values)


def _integers(values: Column) -> Column | None:
    together = b",".join(values)
    if _INTEGERS.fullmatch(together):
        return values
    return _with_null(values) if _INTEGERS_OR_NULL.fullmatch(together) else None


def _with_null(values: Column) -> Column:
    return [b"\\N" if value == b"NULL" else value for value in values]


def _floats(values: Column) -> Column | None:
    together = b",".join(values)
    # An integer may be too long for a float, and 9e999 is the infinite.
    plain = _NUMBERS_OR_NULL.fullmatch(together) and b"9e999" not in together
    if not plain or not all(b"." in value or b"e" in value or value == b"NULL" for value in values):
        return None
    return _with_null(values)


def _numerics(values: Column) -> Column | None:
    together = b",".join(values)
    plain = _NUMBERS_OR_NULL.fullmatch(together) and b"9e999" not in together and b"-0.0" not in together
    return _with_null(values) if plain else None


def _texts(values: Column) -> Column | None:
    together = b"".join(values)
    if {value[:1] for value in values} - {b"'", b"N"}:
        return None
    try:
        together.decode("utf-8")
    except UnicodeDecodeError:
        return None
    found = [b"\\N" if value == b"NULL" else value[1:-1] for value in values]
    if together.count(b"'") != 2 * len(values):
        found = [value if value == b"\\N" else value.replace(b"''", b"'") for value in found]
    if any(mark in together for mark in _SPECIAL):
        return [given if value == b"NULL" else _escaped(given) for given, value in zip(found, values, strict=True)]
    return found


def _escaped(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b"\t", b"\\t").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


_WRITERS: dict[str, Callable[[Column], Column | None]] = {
    "int8": _integers,
    "float8": _floats,
    "numeric": _numerics,
    "text": _texts,
    "varchar": _texts,
}

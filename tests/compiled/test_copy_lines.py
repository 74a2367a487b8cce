"""Rows as COPY takes them, by the compiled core and in Python: the same bytes, and the same misfit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.compiled.core import Core
from spgrepl.postgresql.column_types import ColumnType
from spgrepl.postgresql.copying import row_lines
from spgrepl.postgresql.copying.row_lines import RowLines, RowMisfit, SourceRow
from spgrepl.rows.values import RowValue
from tests.compiled.kit import core, needs_core
from tests.rows.strategies import values

pytestmark = needs_core

TYPES = [
    *(ColumnType(base, base) for base in ("int2", "int4", "int8", "oid", "float8", "float4", "numeric", "bytea")),
    *(ColumnType(base, base) for base in ("bool", "text", "timestamptz", "money", "_text")),
    ColumnType("text", "text", takes_numbers=True),
    ColumnType("varchar(3)", "varchar", 7),
    ColumnType("numeric(4,2)", "numeric", 4 + (4 << 16 | 2)),
]
BINARY = [
    *(ColumnType(base, base) for base in ("int2", "int4", "int8", "float8", "bytea", "bool", "text")),
    ColumnType("text", "text", takes_numbers=True),
]
FITTING: dict[str, Sequence[RowValue]] = {
    "int8": (2**63 - 1, -(2**63), 0),
    "float8": (1.5, 1e300, -0.0, 5e-324, float("inf"), float("-inf"), 2**53, 2**53 + 1, 2**60),
    "numeric": (1, 0.1, 1e-7, -0.0, 0.0, float("inf")),
    "text": ("", "a\tb\\c\nd\re\x0bf", "ä€😀", "\\N", "zero\0"),
    "bytea": (b"", b"\0\xff\\"),
    "bool": (0, 1, 2, -1),
    "int2": (2**15, 2**15 - 1, -(2**15), -(2**15) - 1),
    "int4": (2**31, 2**31 - 1, -(2**31), -(2**31) - 1),
}


def value_of(kind: ColumnType) -> st.SearchStrategy[RowValue]:
    plain = st.sampled_from(FITTING.get(kind.base, ("x", "")))
    return st.one_of(plain, plain, plain, plain, values)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[ColumnType], list[bool], list[SourceRow]]:
    among = draw(st.sampled_from([TYPES, BINARY]))
    kinds = draw(st.lists(st.sampled_from(among), min_size=1, max_size=4))
    required = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    return kinds, required, draw(st.lists(st.tuples(*map(value_of, kinds)), max_size=8))


def written(
    kinds: list[ColumnType], required: list[bool], rows: list[SourceRow], binary: bool, by: Core | None
) -> object:
    """All lines, or which row does not fit."""
    lines, given_rows, done = RowLines(kinds, required, binary, by), iter(rows), 0
    found = b""
    try:
        while True:
            data, count = lines.take(given_rows)
            if not count:
                return found
            found, done = found + data, done + count
    except RowMisfit as misfit:
        return done + misfit.index


@given(tables(), st.sampled_from([1, 20, row_lines.ENOUGH]), st.booleans())
def test_the_same_bytes(
    table: tuple[list[ColumnType], list[bool], list[SourceRow]], enough: int, binary: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_lines, "ENOUGH", enough)
        assert written(*table, binary, core()) == written(*table, binary, None)


@pytest.mark.parametrize(("kinds", "is_binary"), [(BINARY, True), ([*BINARY, TYPES[6]], False)])
def test_the_form_is_binary_where_all_types_have_one(kinds: list[ColumnType], is_binary: bool) -> None:
    lines = RowLines(kinds, [False] * len(kinds))
    assert (lines.options, lines.head[:6], lines.end) == (
        (" (FORMAT binary)", b"PGCOPY", b"\xff\xff") if is_binary else ("", b"", b"")
    )


def test_no_more_is_taken_than_is_enough() -> None:
    kinds = [ColumnType("text", "text"), ColumnType("bytea", "bytea")]
    for by in (core(), None):
        rows = iter([("x" * row_lines.ENOUGH, b"")] * 3)
        assert RowLines(kinds, [False, False], core=by).take(rows)[1] == 1
        assert len(list(rows)) == 2


def test_what_is_no_row_is_refused() -> None:
    for rows in ([[1]], [(1, 2)]):
        with pytest.raises(TypeError):
            core().copy_rows(b"8", iter(rows), 100, False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="without columns"):
        core().copy_rows(b"", iter([()]), 100, True)

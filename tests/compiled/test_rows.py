"""Rows written and read by the compiled core and in Python: the same texts."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.log.format.records import encode_v2_all, python_encode_v2_all
from spgrepl.rows.bulk import python_texts
from spgrepl.rows.recognise import Recogniser
from spgrepl.rows.values import value_text
from tests.compiled.kit import core, needs_core
from tests.rows.strategies import values

pytestmark = needs_core

HEAD = b"INSERT INTO t(a,b)VALUES("
ODD = (
    *(b"NULL", b"'it''s'", b"''", b"'", b"'''", b"x'0a'", b"x'0'", b"x'0G'", b"x'", b"-", b"-1", b"1.", b"1.5e"),
    *(b"1.5e+3", b"1e9", b"01", b"+1", b"N", b"NULLS", b"'a\0b'", b"1\0", b"CAST(x'00' AS TEXT)", b"", b"'a'b"),
)
literals = st.one_of(
    values.map(value_text).map(str.encode),
    st.sampled_from(ODD),
    st.binary(max_size=5),
)
ends = st.sampled_from(
    [
        b")",
        b")",
        b") /* origin 0123456789abcdef */",
        b") /* origin 0123456789abcdeF */",
        b") /* rowid 7 */",
        b"",
        b"))",
    ]
)
rows = st.builds(
    lambda parts, end: HEAD + b",".join(parts) + end, st.lists(literals, min_size=1, max_size=3), ends
)
right = st.builds(
    lambda one, other: HEAD + value_text(one).encode() + b"," + value_text(other).encode() + b")", values, values
)
others = st.sampled_from([b"INSERT INTO u(a)VALUES(1)", b"DELETE FROM t", b"", HEAD, HEAD[:-1]])


@given(st.lists(st.one_of(right, right, rows, others), min_size=1, max_size=12), st.integers(1, 12))
def test_the_same_runs(statements: list[bytes], most: int) -> None:
    compiled, plain = Recogniser(core()), Recogniser(None)
    for first in range(len(statements)):
        found, expected = (one.read_run(statements, first, most) for one in (compiled, plain))
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert (found.shape.table, found.count, found.rows) == (
                expected.shape.table,
                expected.count,
                expected.rows,
            )


def test_a_statement_with_nul_is_not_two() -> None:
    statements = [HEAD + b"1,2)", HEAD + b"3,4)\x005,6)", HEAD + b"7,8)"]
    for one in (core(), None):
        assert Recogniser(one).read_run(statements, 0) is None
        run = Recogniser(one).read_run([statements[0], *statements], 0)
        assert run is not None
        assert (run.count, run.rows) == (2, b"(1,2),(1,2)")


def test_runs_outside_are_refused() -> None:
    for first, count in ((-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="no such row"):
            core().insert_rows([HEAD + b"1,2)"], first, 1, HEAD, count)
    assert core().insert_rows([HEAD + b"1,2)"], 5, 9, HEAD, 2) == (0, b"")
    assert core().insert_rows([HEAD + b"1,2)", bytearray(HEAD)], 0, 9, HEAD, 2) == (1, b"(1,2)")  # type: ignore[list-item]


columns = st.integers(0, 8).flatmap(
    lambda count: st.lists(st.lists(values, min_size=count, max_size=count), min_size=1, max_size=4)
)


@given(columns, st.sampled_from(["", ")"]))
def test_the_same_texts(given: list[list[object]], end: str) -> None:
    pieces = [f"é{number}=%s " for number in range(len(given))]
    expected = python_texts(pieces, given, len(given[0]), end)  # type: ignore[arg-type]
    assert core().row_texts([piece.encode() for piece in pieces], given, end.encode(), value_text) == expected


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 0, -1, "'", "''''", "a" * 5000, b"\xff" * 3000, True, 1.5])
def test_values_at_the_edges(value: object) -> None:
    (found,) = core().row_texts([b""], [[value]], b"", value_text)
    assert found == value_text(value).encode()  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [2**63, "\ud800", 1j])
def test_what_is_no_value_is_refused_in_the_same_way(value: object) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011
        value_text(value).encode()  # type: ignore[arg-type]
    with pytest.raises(type(expected.value)):
        core().row_texts([b""], [[value]], b"", value_text)


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="as many pieces"):
        core().row_texts([b"", b""], [[1]], b"", value_text)
    with pytest.raises(ValueError, match="as many pieces"):
        core().row_texts([], [], b"", value_text)
    with pytest.raises(TypeError, match="no list"):
        core().row_texts([b""], ["text"], b"", value_text)
    with pytest.raises(TypeError, match="not bytes"):
        core().row_texts([""], [[1]], b"", value_text)  # type: ignore[list-item]
    with pytest.raises(IndexError):
        core().row_texts([b"", b""], [[1, 2], [1]], b"", value_text)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_the_same_records(statements: list[bytes]) -> None:
    assert core().encode_v2_all(statements) == python_encode_v2_all(statements) == encode_v2_all(statements)


def test_what_is_no_statement_is_left_to_the_reference() -> None:
    assert core().encode_v2_all([bytearray(b"a")]) is None  # type: ignore[list-item]
    with pytest.raises((TypeError, struct.error)):
        encode_v2_all([1])  # type: ignore[list-item]

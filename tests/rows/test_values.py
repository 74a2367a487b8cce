"""Values as SQL text: SQLite reads the same value."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import apsw
import pytest
from hypothesis import given

from spgrepl.rows.values import VALUE_PATTERN, NotCanonical, RawText, RowValue, same_value, value_of, value_text
from tests.rows.forms import exact
from tests.rows.strategies import values


@given(values)
def test_sqlite_reads_the_same_value(value: RowValue) -> None:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        content: Any
        kind, content = connection.execute(
            f"SELECT typeof(v), CASE typeof(v) WHEN 'text' THEN CAST(v AS BLOB) ELSE v END FROM "
            f"(SELECT {value_text(value)} AS v)"
        ).fetchone()  # type: ignore[misc]
        if kind == "text":
            assert isinstance(value, (str, RawText))
            assert content == (value.encode() if isinstance(value, str) else value.content)
        else:
            assert exact(content) == exact(value)


@given(values)
def test_each_value_reads_back(value: RowValue) -> None:
    text = value_text(value).encode()
    assert re.fullmatch(VALUE_PATTERN, text)
    assert exact(value_of(text)) == exact(value)


@pytest.mark.parametrize(
    "text",
    [
        b"1.50",
        b"-0",
        b"007",
        b"1e5",
        b"9223372036854775808",
        b"1" * 40,
        b"'\xff'",
        b"CAST(x'61' AS TEXT)",
    ],
)
def test_a_value_that_would_be_written_otherwise(text: bytes) -> None:
    assert re.fullmatch(VALUE_PATTERN, text)
    with pytest.raises(NotCanonical):
        value_of(text)


@pytest.mark.parametrize(
    ("value", "error"),
    [(2**63, OverflowError), (RawText(b"plain"), ValueError), ([], TypeError)],
)
def test_what_is_no_value(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        value_text(value)


def test_nan_is_null_and_a_bool_is_a_number() -> None:
    assert value_text(float("nan")) == "NULL"
    assert value_text(True) == "1"


@given(values, values)
def test_the_same_in_all_respects(one: RowValue, other: RowValue) -> None:
    assert same_value(one, one)
    assert same_value(one, other) == (exact(one) == exact(other))


def test_zeros_of_two_signs_and_two_types_differ() -> None:
    assert not same_value(0.0, -0.0)
    assert not same_value(0, 0.0)
    assert not same_value("a", b"a")

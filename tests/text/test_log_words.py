"""What may stand in a log: no value of a row, in whatever form a database says it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import ReplayStopped
from spgrepl.text.log_words import SqlInLogs, for_log, sql_for_log, without_values


@pytest.fixture
def allowed() -> Iterator[None]:
    SqlInLogs.allowed = True
    yield
    SqlInLogs.allowed = False


@given(st.text("secret()', =\n", max_size=12))
def test_no_value_of_a_key_is_left(value: str) -> None:
    text = without_values(f"duplicate key value: Key (name, place)=({value}, x) already exists")
    assert text == "duplicate key value: Key (name, place)… already exists"


@given(st.text("ab' 1", max_size=8))
def test_no_literal_is_left(value: str) -> None:
    quoted = value.replace("'", "''")
    assert without_values(f"near '{quoted}': syntax error") == "near …: syntax error"


@pytest.mark.parametrize(
    "value", ["5", "-5.25", "1e5", "1.5e-7", "0x1F", "20240131", "x'00ff'", "X'AB'", "12ab", "2024-01-31"]
)
def test_no_number_is_left(value: str) -> None:
    shown = without_values(f"the value {value} is too long")
    assert not any(letter.isdigit() for letter in shown)
    assert shown.startswith("the value ")
    assert shown.endswith(" is too long")


def test_names_stay() -> None:
    text = 'no such table: t2; column "a1" of relation "user_3" does not exist'
    assert without_values(text) == text


def test_an_error_of_replay_says_where_and_not_what() -> None:
    error = ReplayStopped(1234, 0xABCD, "INSERT INTO t VALUES ('secret')", "UNIQUE failed: 'secret'")
    shown = for_log(error)
    assert "1234" in shown
    assert "0000abcd" in shown
    assert "secret" not in shown
    assert for_log(ValueError("it's 5")) == "it's 5"


def test_sql_only_where_it_was_allowed(allowed: None) -> None:
    assert sql_for_log(b"SELECT '\xff'") == repr("SELECT '\ufffd'")
    assert len(sql_for_log("x" * 999)) == 302
    assert without_values("Key (a)=(5)") == "Key (a)=(5)"
    SqlInLogs.allowed = False
    assert sql_for_log("SELECT 'secret'") == "(SQL, with --log-sql)"

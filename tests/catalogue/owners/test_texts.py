"""The text of a record cut into statements, whichever database wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.owners.texts import statements


def cut(text: str, mysql: bool = False) -> list[str]:
    return [" ".join(one.strip("; ").split()) for one in statements(text, mysql)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
        (r"SELECT E'it\'s; '; SELECT 2", ["SELECT ''", "SELECT 2"]),
        ("SELECT $a$ ; $b$ ; $a$; SELECT 2", ["SELECT ''", "SELECT 2"]),
        ("SELECT ARRAY['a', ';']; SELECT 2", ["SELECT ARRAY 'a', ';']", "SELECT 2"]),
        (
            "CREATE FUNCTION f() BEGIN ATOMIC; DELETE FROM t; END; SELECT 2",
            ["CREATE FUNCTION f() BEGIN ATOMIC", "SELECT 2"],
        ),
        ("\ufeffSELECT 1", ["SELECT 1"]),
    ],
)
def test_strings_of_postgresql(text: str, expected: list[str]) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"SELECT 'it\'s; '; SELECT 2", ["SELECT ''", "SELECT 2"]),
        ('SELECT "a; b"; SELECT 2', ["SELECT ''", "SELECT 2"]),
        ("SELECT 1 # ; so\n; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1--1; SELECT 2", ["SELECT 1- 1", "SELECT 2"]),
        (
            "CREATE PROCEDURE p() SELECT 1; DELETE FROM t",
            ["CREATE PROCEDURE p() SELECT 1"],
        ),
    ],
)
def test_strings_and_comments_of_mysql(text: str, expected: list[str]) -> None:
    assert cut(text, mysql=True) == expected


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_cut(text: str, mysql: bool) -> None:
    assert all(isinstance(one, str) for one in statements(text, mysql))

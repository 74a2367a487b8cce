"""What only the text of a CREATE TABLE tells."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.engines.targets.declarations import Declarations, read_declarations


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE t (a, b)", Declarations()),
        ("CREATE TABLE t (a COLLATE BINARY, [check] TEXT, 'as')", Declarations()),
        ('CREATE TABLE "x(" ("A b" TEXT COLLATE nocase)', Declarations(collations=(("a b", "NOCASE"),))),
        (
            "CREATE TABLE t (a DEFAULT (1) CHECK (a in (1, (2)) /* , */), b, CONSTRAINT c CHECK ( B>A ))",
            Declarations(checks=("( a in ( 1 , ( 2 ) ) )", "( b > a )")),
        ),
        (
            "CREATE TABLE t (a, b AS (a + 1), c GENERATED ALWAYS AS (')') STORED)",
            Declarations(generated=(("b", "( a + 1 )"), ("c", "( ')' )"))),
        ),
        (
            "CREATE TABLE t (a NOT NULL ON CONFLICT IGNORE, b, PRIMARY KEY (A, b) ON CONFLICT REPLACE)",
            Declarations(conflicts=("( a , b ) PRIMARY ON CONFLICT REPLACE", "a NULL ON CONFLICT IGNORE")),
        ),
    ],
)
def test_what_is_declared(sql: str, expected: Declarations) -> None:
    apsw.Connection(":memory:").execute(sql)  # SQLite accepts it, too
    assert read_declarations(sql) == expected


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    read_declarations(text)
    read_declarations(f"CREATE TABLE t ({text}")

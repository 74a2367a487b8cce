"""The rows of one table in two databases: equal where they are the same bit for bit, in any order."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.sqlite.compared_rows import count_rows, cut, first_difference, first_virtual_difference, shown

TABLES = {
    "CREATE TABLE t (a, b)": False,
    "CREATE TABLE t (a PRIMARY KEY, b)": True,
    "CREATE TABLE t (a, b, PRIMARY KEY (b, a))": True,
    "CREATE TABLE t (a TEXT COLLATE NOCASE, b, PRIMARY KEY (a))": True,
    "CREATE TABLE t (a NOT NULL, b NOT NULL, PRIMARY KEY (a, b)) WITHOUT ROWID": True,
}
cells = st.sampled_from([0, 0.0, -0.0, 1, 1.0, "1", "a", "A", b"a", b"", "é", 2**60])
rows = st.lists(st.tuples(cells, cells), max_size=5)


def filled(table: str, found: list[tuple[Any, Any]]) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(table)
    connection.executemany("INSERT OR IGNORE INTO t (a, b) VALUES (?, ?)", found)
    return connection


def as_sorted(connection: apsw.Connection) -> list[str]:
    return sorted(map(repr, connection.execute("SELECT * FROM t")))


@settings(max_examples=100)
@given(st.sampled_from(sorted(TABLES)), rows, rows, st.randoms(use_true_random=False))
def test_it_is_the_sorted_rows_that_count_where_there_is_a_key(
    table: str, first: list[Any], second: list[Any], random: Any
) -> None:
    """-0.0 is not 0.0, and 1 is not 1.0."""
    shuffled = list(first)
    random.shuffle(shuffled)
    for other in (second, shuffled):
        with closing(filled(table, first)) as one, closing(filled(table, other)) as two:
            same = as_sorted(one) == as_sorted(two)
            if not TABLES[table]:
                same = list(map(repr, one.execute("SELECT * FROM t"))) == list(
                    map(repr, two.execute("SELECT * FROM t"))
                )
            assert (first_difference((one, two), "t") is None) is same


@pytest.mark.parametrize("table", sorted(TABLES))
def test_text_that_is_not_utf_8_is_compared_byte_for_byte(table: str) -> None:
    with closing(filled(table, [])) as one, closing(filled(table, [])) as two, closing(filled(table, [])) as three:
        for connection, text in ((one, "CAST(x'ff' AS TEXT)"), (two, "CAST(x'fe' AS TEXT)"), (three, "x'ff'")):
            connection.execute(f"INSERT INTO t (a, b) VALUES ({text}, 1)")
        assert first_difference((one, one), "t") is None
        assert first_difference((one, two), "t") is not None
        assert first_difference((one, three), "t") is not None


def test_the_first_difference_says_where_it_is() -> None:
    table = "CREATE TABLE t (a PRIMARY KEY, b)"
    with closing(filled(table, [(1, 1), (2, 2), (3, 3)])) as one, closing(filled(table, [(1, 1), (2, 9)])) as two:
        assert first_difference((one, two), "t") == (1, (2, 2), (2, 9))
        two.execute("UPDATE t SET b = 2 WHERE a = 2")
        assert first_difference((one, two), "t") == (2, (3, 3), None)
        assert first_difference((two, one), "t") == (2, None, (3, 3))
        assert (count_rows(one, "t"), count_rows(two, "t")) == (3, 2)


def test_rows_without_a_key_are_named_by_their_numbers() -> None:
    with (
        closing(filled("CREATE TABLE t (a, b)", [(1, 1)])) as one,
        closing(filled("CREATE TABLE t (a, b)", [])) as two,
    ):
        two.execute("INSERT INTO t (rowid, a, b) VALUES (5, 1, 1)")
        assert first_difference((one, two), "t") == (0, (1, 1, 1), (5, 1, 1))


@pytest.mark.parametrize("module", ["fts5", "fts4"])
def test_an_index_that_lacks_a_word_is_found(module: str) -> None:
    made = []
    for words in ("one two", "one two", "one"):
        connection = apsw.Connection(":memory:")
        connection.execute("CREATE TABLE t (body)")
        connection.execute(f"CREATE VIRTUAL TABLE f USING {module}(body, content='t')")
        connection.execute("INSERT INTO t VALUES (?)", ("one two",))
        connection.execute("INSERT INTO f (rowid, body) VALUES (1, ?)", (words,))
        made.append(connection)
    assert first_virtual_difference((made[0], made[1]), "f", module) is None
    assert first_virtual_difference((made[0], made[2]), "f", module) is not None
    assert not made[0].table_exists("temp", "spgrepl_words")


def test_what_people_see_is_cut() -> None:
    assert shown(None) == "no further row"
    assert shown((1, "a")) == "(1, 'a')"
    assert len(shown(("x" * 500,) * 9)) < 220
    assert cut("x" * 201) == "x" * 200 + "…"
    assert cut("x" * 200) == "x" * 200

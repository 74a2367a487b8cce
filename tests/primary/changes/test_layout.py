"""How the rows of a table are written down: whatever the table is like, one name fits one row."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.primary.changes.layout import Unwritable, check_table, read_layout
from spgrepl.rows.render import render_delete, render_values
from tests.primary.changes.recorded import database
from tests.primary.copying import content

KEYS = [
    "k INTEGER PRIMARY KEY, l",
    "k TEXT PRIMARY KEY, l",
    "k, l, PRIMARY KEY (l, k)",
    "k, l",
    "k TEXT COLLATE NOCASE, l, PRIMARY KEY (k COLLATE BINARY)",
    "k INTEGER PRIMARY KEY AUTOINCREMENT, l",
]
OTHERS = ["", ", rowid", ", ROWID, _rowid_", ", g AS (l || 'x') STORED", ", g AS (l || 'x'), h"]
cells = st.sampled_from([None, 1, 2, 1.5, "a", "A", "it's", b"\0"])


@settings(max_examples=50)
@given(st.sampled_from(KEYS), st.sampled_from(OTHERS), st.lists(st.tuples(cells, cells), max_size=6), st.data())
def test_a_rows_name_means_that_row_alone(
    key: str, others: str, pairs: list[tuple[object, object]], data: st.DataObject
) -> None:
    others = "" if "PRIMARY KEY (" in key else others
    schema = [f"CREATE TABLE t ({key}{others})"]
    if "INTEGER" in key:
        pairs = [(number, value) for number, (_, value) in enumerate(pairs)]
    with closing(database(schema)) as primary, closing(database(schema)) as copy:
        for pair in pairs:
            primary.execute("INSERT OR IGNORE INTO t (k, l) VALUES (?, ?)", pair)
        layout = read_layout(primary, "t")
        listed = ", ".join(layout.columns)
        number_word = layout.row_number or "NULL"
        rows = list(primary.execute(f"SELECT {number_word}, {listed} FROM t"))
        for number, *row in rows:
            values = row if layout.key else [number, *row]
            copy.execute(render_values(layout.insert_head, values).decode())
        assert content(copy) == content(primary)
        if not rows:
            return
        number, *gone = data.draw(st.sampled_from(rows))
        names, values, one_of = layout.name_of(tuple(gone), number)
        copy.execute(render_delete("t", names, values, one_of=one_of).decode())
        assert copy.changes() == 1
        primary.execute(f"DELETE FROM t WHERE {layout.row_number} = ?", (number,))
        if not layout.key or one_of is None:
            assert content(copy) == content(primary)
        else:
            assert sorted(map(repr, copy.execute("SELECT * FROM t"))) == sorted(
                map(repr, primary.execute("SELECT * FROM t"))
            )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("CREATE TABLE t (rowid, _rowid_, oid)", "cannot be named on a copy"),
        (
            "CREATE TABLE t (k COLLATE NOCASE, PRIMARY KEY (k COLLATE BINARY)) WITHOUT ROWID",
            "cannot be named on a copy",
        ),
        ('CREATE TABLE t ("" INTEGER)', "is empty, which the log cannot state"),
        ("CREATE TABLE t (k PRIMARY KEY, g AS (k || 'x')) WITHOUT ROWID", "are not STORED"),
    ],
)
def test_tables_that_cannot_be_replicated_say_why(table: str, message: str) -> None:
    with closing(database([table])) as connection, pytest.raises(Unwritable, match=message):
        check_table(connection, "t")


def test_what_is_no_table_of_rows_is_not_judged() -> None:
    schema = ["CREATE VIEW t AS SELECT 1 AS rowid, 2 AS _rowid_, 3 AS oid"]
    with closing(database(schema)) as connection:
        check_table(connection, "t")
        check_table(connection, "nowhere")


def test_null_in_a_key_with_hidden_row_numbers_cannot_be_named() -> None:
    with closing(database(["CREATE TABLE t (k PRIMARY KEY, rowid, _rowid_, oid)"])) as connection:
        layout = read_layout(connection, "t")
        assert layout.name_of((1, 2, 3, 4), 9) == (("k",), [1], None)
        with pytest.raises(Unwritable, match="whose primary key holds NULL"):
            layout.name_of((None, 2, 3, 4), 9)


def test_names_that_differ_in_other_letters_than_ascii_are_two_tables() -> None:
    schema = ['CREATE TABLE "Ä" (a)', 'CREATE TABLE "ä" (a PRIMARY KEY) WITHOUT ROWID']
    with closing(database(schema)) as connection:
        assert read_layout(connection, "Ä").has_row_numbers
        assert not read_layout(connection, "ä").has_row_numbers

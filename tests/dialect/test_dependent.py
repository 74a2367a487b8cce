"""Calls whose value is each machine's own: SQLite refuses the same ones in an index."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.dialect.dependent import CURRENT_WORDS, DEPENDENT_FUNCTIONS, apply_edits, find_dependent
from spgrepl.text.sqltext import significant_tokens

EXPRESSIONS = [
    "a + 1",
    "date(a)",
    "date('now')",
    "date()",
    "datetime('2024-01-01', '+1 day')",
    "datetime('2024-01-01', 'localtime')",
    "time('NOW')",
    "julianday(a)",
    "julianday()",
    "unixepoch('2024-01-01', 'utc')",
    "strftime('%Y')",
    "strftime('%Y', a)",
    "strftime('now', a)",
    "strftime('%Y', 'now')",
    "random()",
    "abs(random())",
    "randomblob(4)",
    "CURRENT_TIMESTAMP",
    "a || 'current_date'",
    "last_insert_rowid()",
    "changes()",
    "lower('random()')",
    "coalesce(a, (date('2024-01-01')))",
    "hex(a)",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_sqlite_takes_into_an_index_is_the_same_everywhere(expression: str) -> None:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES ('2024-01-01')")
    try:
        connection.execute(f"CREATE INDEX i ON t ({expression})")
        taken = True
    except apsw.SQLError as error:
        taken = "non-deterministic" not in str(error)
    assert (find_dependent(significant_tokens(expression)) is None) == taken


@pytest.mark.parametrize("name", sorted(DEPENDENT_FUNCTIONS | CURRENT_WORDS))
def test_each_is_found_by_its_name_and_not_as_a_name(name: str) -> None:
    called = name if name in CURRENT_WORDS else f"{name}(1)"
    assert find_dependent(significant_tokens(f"SELECT 1, {called.upper()}")) == name
    for text in (f"INSERT INTO {name}(a) VALUES (1)", f"SELECT '{called}'", f"SELECT 1 AS {name}"):
        assert find_dependent(significant_tokens(text)) is None, text


def test_a_call_that_never_ends_is_none() -> None:
    assert find_dependent(significant_tokens("random(")) is None
    assert find_dependent([]) is None


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=5), st.data())
def test_edits_leave_words_apart(words: list[str], data: st.DataObject) -> None:
    """Each word that is replaced stays a word of its own, and all others stay as they are."""
    text = "-".join(words)
    edits, wanted, at = [], [], 0
    for word in words:
        new = data.draw(st.sampled_from([None, "x", "yy"]))
        if new is not None:
            edits.append((at, at + len(word), new))
        wanted.append(new or word)
        at += len(word) + 1
    found = apply_edits(text, edits)
    assert found.replace(" ", "").split("-") == wanted
    assert apply_edits(text, []) == text
    assert apply_edits("ab", [(0, 1, "x")]) == "x b"
    assert apply_edits("a,b", [(2, 3, "")]) == "a,"

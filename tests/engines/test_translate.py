"""Translation: SQLite's words, or a reason why not; nothing else, whatever the text."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.engines.translate import MYSQL, POSTGRESQL, TranslationFailed, ValueOfThisMachine, to_sqlite

_words = st.sampled_from(
    [
        "INSERT INTO t",
        "VALUES",
        "(1)",
        "SELECT",
        "'a'",
        "::int",
        "FROM",
        "t",
        ";",
        "(",
        ")",
        "$$x$$",
        "\\",
        "'",
        "CASE",
    ]
)


@settings(max_examples=200)
@given(
    text=st.one_of(st.lists(_words, max_size=10).map(" ".join), st.text(max_size=30)),
    dialect=st.sampled_from([POSTGRESQL, MYSQL]),
)
def test_any_text_is_translated_or_refused(text: str, dialect: str) -> None:
    with contextlib.suppress(TranslationFailed):
        assert all(isinstance(statement, str) for statement in to_sqlite(text, dialect))


def test_a_text_nested_too_deep_is_refused() -> None:
    with pytest.raises(TranslationFailed):
        to_sqlite("SELECT " + "(" * 20_000 + ")" * 20_000, POSTGRESQL)


@pytest.mark.parametrize("sql", ["SELECT NOW()", "SELECT RAND()", "SELECT CURRENT_DATE", "SELECT SYSDATE()"])
def test_the_time_and_chance_are_never_what_comes_out(sql: str) -> None:
    try:
        found = to_sqlite(sql, MYSQL)
    except ValueOfThisMachine:
        return
    # What SQLite does not know it will refuse itself.
    assert not any(word in found[0].upper() for word in ("CURRENT_", "RANDOM()", "'NOW'"))


def test_the_refusal_names_what_differs() -> None:
    with pytest.raises(ValueOfThisMachine, match="current_timestamp would have another value here"):
        to_sqlite("INSERT INTO t VALUES (NOW())", POSTGRESQL)

"""Translation: SQLite's words, or a reason why not; nothing else, whatever the text."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.dialect.translate import MYSQL, POSTGRESQL, TranslationFailed, ValueOfThisMachine, to_sqlite

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


RECORDED = json.loads(Path(__file__).with_name("translations.json").read_text("utf-8"))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["sql"][:60])
def test_a_translation_is_what_it_was(recorded: dict[str, Any]) -> None:
    """Two versions of sqlglot that differ make two copies that differ: who allows another one looks at each line.

    Where a line changes for the better, the record is changed with it, and the bounds of sqlglot in setup.cfg.
    """
    assert outcome(recorded["sql"], recorded["dialect"]) == recorded["sqlite"]


def outcome(sql: str, dialect: str) -> list[str] | str:
    try:
        return to_sqlite(sql, dialect)
    except ValueOfThisMachine:
        return "another value here"
    except TranslationFailed:
        return "not translated"

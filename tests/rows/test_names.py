"""Names as canonical text: SQLite reads the same name."""

from __future__ import annotations

import contextlib
import re

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.rows.changes import RowChange
from spgrepl.rows.names import NAME_PATTERN, name_of, name_text
from spgrepl.rows.render import render
from tests.rows.forms import INSERT
from tests.rows.strategies import names


@given(st.lists(names, min_size=1, max_size=4, unique_by=str.lower), names)
def test_sqlite_reads_the_same_names(columns: list[str], table: str) -> None:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
        made = ",".join(map(name_text, columns))
        with contextlib.suppress(
            apsw.SQLError
        ):  # names such as sqlite_x, or two that are alike but for their case
            connection.execute(f"CREATE TABLE {name_text(table)}({made})")
            connection.execute(render(RowChange(INSERT, table, tuple(columns), (1,) * len(columns))).decode())
            found = connection.execute(f"SELECT * FROM {name_text(table)}")
            assert [name for name, *_ in found.description_full or found.get_description()] == columns


@given(names)
def test_a_name_reads_back(name: str) -> None:
    text = name_text(name)
    assert re.fullmatch(NAME_PATTERN, text)
    assert name_of(text) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [("a_1", "a_1"), ("order", '"order"'), ("Name", '"Name"'), ("1a", '"1a"'), ('a"b', '"a""b"'), ("é", '"é"')],
)
def test_only_plain_words_stand_without_quotes(name: str, text: str) -> None:
    assert name_text(name) == text


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a table or column"):
        name_text(name)

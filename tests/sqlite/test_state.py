"""The row that says which position in the log a database's rows correspond to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import LocalFilesDamaged
from spgrepl.interfaces.engine import Fence, Mark, ReplayState, TransactionNotes
from spgrepl.sqlite.state import (
    ROLE_FOLLOWER,
    ROLE_PRIMARY,
    StoredState,
    decode_marks,
    decode_notes,
    encode_marks,
    encode_notes,
    ensure_table,
    read_state,
    subscription_names,
    write_state,
)

STATE = ReplayState(700, 300, Fence(650, 0xDEADBEEF), "pair", (Mark(1, 2, 3),), "another history")
numbers = st.integers(0, 2**40)
notes = st.builds(
    TransactionNotes,
    **{
        field.name: st.none() | numbers if field.name in ("opened_by", "alone_to") else numbers
        for field in attrs.fields(TransactionNotes)
    },
)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        yield made


@pytest.mark.parametrize("state", [STATE, ReplayState(0, 0)])
@pytest.mark.parametrize("role", [ROLE_PRIMARY, ROLE_FOLLOWER])
def test_it_reads_back(connection: apsw.Connection, state: ReplayState, role: str) -> None:
    assert read_state(connection) is None
    ensure_table(connection)
    assert read_state(connection) is None
    write_state(connection, role, ReplayState(1, 1))
    write_state(connection, role, state)
    assert read_state(connection) == StoredState(role, state)


def test_a_table_of_an_earlier_version_is_read_and_gets_its_columns(connection: apsw.Connection) -> None:
    connection.execute(
        "CREATE TABLE spgrepl_replay (id INTEGER PRIMARY KEY CHECK (id = 1), role TEXT NOT NULL, "
        "position INTEGER NOT NULL, base INTEGER NOT NULL, fence_start INTEGER, fence_crc INTEGER)"
    )
    connection.execute("INSERT INTO spgrepl_replay VALUES (1, 'follower', 70, 30, 60, 5)")
    old = StoredState(ROLE_FOLLOWER, ReplayState(70, 30, Fence(60, 5)))
    assert read_state(connection) == old
    for _ in range(2):
        ensure_table(connection)
        assert read_state(connection) == old
    write_state(connection, ROLE_FOLLOWER, STATE)
    assert read_state(connection) == StoredState(ROLE_FOLLOWER, STATE)


@pytest.mark.parametrize("column", ["marks", "histories", "transactions"])
@pytest.mark.parametrize("content", ["", "[", "7", '{"a": "b"}', "[[1]]"])
def test_a_row_that_is_not_ours_is_named(connection: apsw.Connection, column: str, content: str) -> None:
    ensure_table(connection)
    write_state(connection, ROLE_PRIMARY, STATE)
    connection.execute(f"UPDATE spgrepl_replay SET {column} = ?", (content,))
    with pytest.raises(LocalFilesDamaged, match="the row of the table spgrepl_replay cannot be read"):
        read_state(connection)


@given(st.lists(st.builds(Mark, numbers, numbers, numbers)).map(tuple), notes)
def test_marks_and_notes_read_back(marks: tuple[Mark, ...], found: TransactionNotes) -> None:
    assert decode_marks(encode_marks(marks)) == marks
    assert decode_notes(encode_notes(found)) == found


def test_the_names_of_subscriptions(connection: apsw.Connection) -> None:
    assert subscription_names(connection) == []
    connection.execute(
        "CREATE TABLE spgrepl_subscriber (name TEXT); INSERT INTO spgrepl_subscriber VALUES ('b'), ('a')"
    )
    assert subscription_names(connection) == ["a", "b"]

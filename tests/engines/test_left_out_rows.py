"""Rows that a copy does without: noted in the copy, by subscription."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw
import pytest

from spgrepl.engines.left_out_rows import TABLE, LeftOutNotes, LeftOutRows, left_out_of


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with contextlib.closing(apsw.Connection(":memory:")) as made:
        yield made


def known(connection: apsw.Connection, subscription: str = "") -> object:
    notes = LeftOutNotes(subscription)
    notes.look(connection)
    return notes.as_values()


def test_nothing_is_made_where_nothing_is_left_out(connection: apsw.Connection) -> None:
    LeftOutNotes().note(connection, ())
    assert connection.execute("SELECT count(*) FROM sqlite_master").get == 0
    assert known(connection) == {}


def test_each_subscription_has_its_own(connection: apsw.Connection) -> None:
    notes = LeftOutNotes("s")
    notes.note(connection, left_out_of([("t", 2, -7), ("u", 1, 0)]))
    # Not before it is durable.
    assert notes.as_values() == {}
    notes.committed()
    told = {"cold_rows_left_out": {"t": {"rows": 2, "first_key": -7}, "u": {"rows": 1, "first_key": 0}}}
    assert notes.as_values() == known(connection, "s") == told
    LeftOutNotes("other").note(connection, [LeftOutRows("t", 5, 1)])
    notes.note(connection, [LeftOutRows("t", 1, 9)])
    assert known(connection, "s") == {"cold_rows_left_out": {"t": {"rows": 1, "first_key": 9}}}
    notes.note(connection, ())
    assert known(connection, "s") == {}
    assert known(connection, "other") == {"cold_rows_left_out": {"t": {"rows": 5, "first_key": 1}}}
    assert connection.execute(f"SELECT count(*) FROM {TABLE}").get == 1

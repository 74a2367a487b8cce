"""From where on a log holds rows, and whose rows they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.sqlite.row_mark import (
    forget_rows,
    note_origin,
    note_rows,
    origin_of_rows,
    rows_begin,
    rows_follow,
    rows_move,
)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        yield made


def test_nothing_is_known_of_a_log_of_statements(connection: apsw.Connection) -> None:
    assert rows_begin(connection) is None
    rows_follow(connection, 100)
    forget_rows(connection)
    assert rows_begin(connection) is None
    assert origin_of_rows(connection) is None


def test_the_first_mark_counts(connection: apsw.Connection) -> None:
    note_rows(connection, 70)
    note_rows(connection, 90)
    assert rows_begin(connection) == 70


@pytest.mark.parametrize(("base", "position"), [(50, 50), (100, 70)])
def test_a_copy_s_own_log_begins_with_rows(connection: apsw.Connection, base: int, position: int) -> None:
    note_rows(connection, 70)
    rows_follow(connection, base)
    assert rows_begin(connection) == position


def test_a_log_that_counts_in_another_way_and_a_new_one(connection: apsw.Connection) -> None:
    note_rows(connection, 70)
    rows_move(connection, 7)
    assert rows_begin(connection) == 7
    forget_rows(connection)
    assert rows_begin(connection) is None
    note_rows(connection, 3)
    assert rows_begin(connection) == 3


def test_whose_rows_they_are(connection: apsw.Connection) -> None:
    for cluster in (0, 2**64 - 1):
        note_origin(connection, cluster)
        assert origin_of_rows(connection) == cluster

"""Statements at the start of a log that a snapshot holds already."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest

from spgrepl.engines.own_rows import OwnRows

TABLES = (
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, c NOT NULL CHECK (c > 0)); INSERT INTO t VALUES (1, 1, 1)"
)


def refused(sql: str) -> Exception:
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(TABLES)
        with pytest.raises(apsw.Error) as error:
            connection.execute(sql)
    return error.value


@pytest.mark.parametrize(
    ("sql", "held"),
    [
        ("INSERT INTO t VALUES (1, 2, 3)", True),
        ("INSERT INTO t VALUES (2, 1, 3)", True),
        ("CREATE TABLE t (a)", True),
        ("ALTER TABLE t ADD COLUMN b", True),
        ("INSERT INTO t VALUES (2, 2, NULL)", False),
        ("INSERT INTO t VALUES (2, 2, -1)", False),
        ("INSERT INTO u VALUES (1)", False),
    ],
)
def test_what_meets_its_own_row(sql: str, held: bool) -> None:
    rows, error = OwnRows(), refused(sql)
    assert not rows.holds(error)  # far from the snapshot it is an error
    rows.expected = True
    assert rows.holds(error) is held
    assert (rows.take_met(), rows.take_met()) == (int(held), 0)

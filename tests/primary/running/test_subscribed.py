"""A row of a subscription must find just the row that it changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from spgrepl.base.results import QueryResult
from spgrepl.errors import StatementFailed
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.running.subscribed import run_subscribed
from spgrepl.rows.recognise import Recogniser
from tests.primary.changes.recorded import Recorded

STATE = SubscriptionState(("p",), 0, 0)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded("CREATE TABLE t (a PRIMARY KEY, b UNIQUE)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    with closing(made.connection):
        yield made


def mark_of(sql: str | None, origin: int | None = None) -> SubscriptionMark:
    row = None if sql is None else Recogniser().read(sql.encode())
    rows = () if row is None else ((row.shape, tuple(row.values)),)
    return SubscriptionMark("s", STATE, STATE, origins=(origin,), rows=rows)


def brought(recorded: Recorded, sql: str, origin: int | None = None) -> None:
    """Bring a row, as a writer runs it."""

    def run() -> None:
        try:
            recorded.run(sql)
        except Exception as error:
            raise StatementFailed(str(error), sql) from error

    run_subscribed(recorded.connection, recorded.recorder, mark_of(sql, origin), 1, run)


@pytest.mark.parametrize(
    ("sql", "conflict"),
    [
        ("INSERT INTO t(a,b)VALUES(1,9)", "insert_exists"),
        ("INSERT INTO t(a,b)VALUES(9,1)", "insert_exists"),
        ("UPDATE t SET b=9 WHERE a=7", "update_missing"),
        ("UPDATE t SET b=1 WHERE a=2", "update_exists"),
        ("DELETE FROM t WHERE a=7", "delete_missing"),
        ("DELETE FROM t", "table_cleared"),
    ],
)
def test_each_kind_of_conflict(recorded: Recorded, sql: str, conflict: str) -> None:
    with pytest.raises(StatementFailed) as caught:
        brought(recorded, sql)
    assert caught.value.conflict == conflict


def test_a_row_that_fits_is_recorded_with_its_origin(recorded: Recorded) -> None:
    brought(recorded, "UPDATE t SET b=9 WHERE a=1", 0xABC)
    assert recorded.statements() == ["UPDATE t SET b=9 WHERE a=1 /* origin 0000000000000abc */"]


def test_a_table_that_is_empty_already_may_be_emptied(recorded: Recorded) -> None:
    recorded.connection.execute("DELETE FROM t")
    brought(recorded, "DELETE FROM t")


def test_statements_of_users_are_run_as_they_are(recorded: Recorded) -> None:
    result = QueryResult(("a",), [])
    for mark in (None, mark_of(None)):
        assert run_subscribed(recorded.connection, recorded.recorder, mark, 1, lambda: result) is result


def test_another_refusal_is_no_conflict(recorded: Recorded) -> None:
    recorded.connection.execute("ALTER TABLE t RENAME COLUMN b TO c")
    with pytest.raises(StatementFailed, match="no such column") as caught:
        brought(recorded, "UPDATE t SET b=9 WHERE a=1")
    assert caught.value.conflict is None

"""The requests of a group: one that fails leaves no trace, whatever it takes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.requests import Applied, Request
from spgrepl.primary.running.group import apply_all
from spgrepl.primary.running.session import WriterSession
from tests.primary.copying import Writer, opened

CREATE = "CREATE TABLE t (a INTEGER PRIMARY KEY)"
WITH_ROLLBACK = "INSERT OR ROLLBACK INTO t VALUES (1)"


def rows(*numbers: int) -> list[Request]:
    return [Request((f"INSERT INTO t VALUES ({number})",)) for number in numbers]


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path, CREATE) as made:
        yield made


@pytest.fixture
def session(writer: Writer) -> Iterator[WriterSession]:
    made = writer.start_group(durable=False)
    yield made
    made.rollback()


def held(session: WriterSession) -> list[int]:
    return [int(row[0]) for row in session.connection.execute("SELECT a FROM t ORDER BY a")]


def test_all_are_applied_in_order(session: WriterSession) -> None:
    outcomes = apply_all(session, rows(1, 2, 3), stop_at_failure=False)
    assert all(isinstance(one, Applied) for one in outcomes)
    assert held(session) == [1, 2, 3]


def test_one_that_fails_leaves_no_trace(session: WriterSession) -> None:
    requests = [*rows(1), Request(("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"), True), *rows(3)]
    first, second, third = apply_all(session, requests, stop_at_failure=False)
    assert isinstance(second, StatementFailed)
    assert isinstance(first, Applied)
    assert isinstance(third, Applied)
    assert held(session) == [1, 3]


def test_what_follows_a_failure_may_be_left_out(session: WriterSession) -> None:
    outcomes = apply_all(session, rows(1, 1, 2), stop_at_failure=True)
    assert [isinstance(one, Applied) for one in outcomes] == [True, False]
    assert held(session) == [1]


def test_one_that_takes_the_transaction_with_it_takes_nobody_else(session: WriterSession) -> None:
    outcomes = apply_all(session, [*rows(1, 2), Request((WITH_ROLLBACK,)), *rows(3)], stop_at_failure=False)
    assert [isinstance(one, Applied) for one in outcomes] == [True, True, False, True]
    assert held(session) == [1, 2, 3]
    assert session.in_transaction


def test_settings_before_it_hold_as_well(session: WriterSession) -> None:
    requests = [Request(("PRAGMA foreign_keys = ON",)), *rows(1), Request((WITH_ROLLBACK,)), *rows(2)]
    assert isinstance(apply_all(session, requests, stop_at_failure=False)[-1], Applied)
    assert session.connection.execute("SELECT value FROM spgrepl_settings WHERE name = 'foreign_keys'").get == 1

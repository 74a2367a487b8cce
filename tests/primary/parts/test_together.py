"""Statements that are run together do what each alone would do, and fail as each alone would fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.parts.together import steps_of
from spgrepl.text.sqltext import split_statements
from tests.primary.copying import assert_same_on_copy, opened

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE ON CONFLICT ROLLBACK, b CHECK (b <> 13))"


def steps(*statements: str) -> list[tuple[int, Sequence[str]]]:
    """How the statements of a transaction are put together."""
    return list(steps_of(Request(statements, transaction=True), together=True))


def test_what_is_put_together() -> None:
    """Whole statements that change rows, as many as follow each other; everything else stays alone."""
    plain = (
        "INSERT INTO t VALUES (1, ';')",
        "update t SET a = '--' || \";\"",
        "REPLACE INTO t VALUES (2, 'it''s')",
    )
    assert steps(*plain, "SAVEPOINT s", *plain) == [(1, plain), (4, ("SAVEPOINT s",)), (5, plain)]
    assert steps_numbers(*plain, "DELETE FROM t", plain[0]) == [1, 4, 5]
    assert list(steps_of(Request(plain[:1]), together=True)) == [(1, plain[:1])]
    bound = Request(plain, transaction=True, parameters=(None, (1,), None))
    assert [len(texts) for _, texts in steps_of(bound, together=True)] == [1, 1, 1]
    assert [len(texts) for _, texts in steps_of(Request(plain, transaction=True), together=False)] == [1, 1, 1]


def steps_numbers(*statements: str) -> list[int]:
    """The numbers of the first statements."""
    return [number for number, _ in steps(*statements)]


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES ('open",
        "INSERT INTO t VALUES (' \" ', \" ' ",
        "INSERT INTO t VALUES (1) /* open",
        "INSERT INTO t VALUES (1) -- open",
        "INSERT INTO t VALUES (1); DELETE FROM t",
        "INSERT INTO t VALUES (1);",
        "INSERT INTO [t VALUES (1)",
        "INSERT INTO t VALUES ('a\0b')",
        "INSERT INTO t VALUES (1);\0",
        "INSERT INTO t VALUES (1);\0INSERT INTO t VALUES (2)",
        "INSERT INTO t VALUES (1) RETURNING a",
        "INSERT INTO spgrepl_replay VALUES (1)",
        "INSERTS INTO t VALUES (1)",
        "INSERT INTO t VALUES ('" + "x" * 100_000,
    ],
)
def test_what_stays_alone(sql: str) -> None:
    """What may reach into the next statement, or is none that is known to change rows and return nothing."""
    other = "INSERT INTO t VALUES ('), \" */ ]')"
    assert (2, (sql,)) in steps(other, sql, other)


@given(st.lists(st.text("I'\"`[]-/*;\0 x", max_size=8), max_size=8))
def test_statements_never_run_into_each_other(tails: list[str]) -> None:
    """Joined by semicolons they are cut again where they were joined."""
    statements = [f"INSERT INTO t {tail}" for tail in tails]
    found = steps(*statements)
    assert [sql for _, texts in found for sql in texts] == statements
    for _, texts in found:
        if len(texts) > 1:
            assert split_statements(";".join(texts)) == [sql.rstrip(" ") for sql in texts]


@pytest.mark.parametrize(
    "bad",
    [
        "INSERT INTO t (b) VALUES (13)",
        "INSERT INTO t (a) VALUES (1)",
        "INSERT INTO nowhere VALUES (1)",
        "INSERT INTO t (b) VALUES (?)",
        "UPDATE t SET",
        "INSERT INTO t (b) VALUES ('\udcff')",
        "INSERT INTO t (b) VALUES (zeroblob(1000))",
    ],
)
def test_a_failure_names_its_statement(tmp_path: Path, bad: str) -> None:
    """Whatever goes wrong and whatever SQLite takes back then, and the requests beside it are left alone."""
    rows = [f"INSERT INTO t (a, b) VALUES ({number}, 'row')" for number in range(10)]
    more = [f"INSERT INTO t (b) VALUES ('more {number}')" for number in range(10)]
    with opened(tmp_path, TABLE) as writer:
        writer._session().runner.recorder._writer._max_record = 1000
        answers = writer.run(
            [
                Request(tuple(rows), transaction=True),
                Request((*more, bad, *more), transaction=True),
                Request(tuple(more), transaction=True),
            ]
        )
        first, failed, last = answers
        assert isinstance(first, Written)
        assert isinstance(failed, StatementFailed)
        assert (failed.number, failed.sql) == (11, bad)
        assert isinstance(last, Written)
        assert first.position < last.position == writer.position
        assert writer.rows("SELECT count(*), max(id) FROM t") == [(20, 20)]
        assert_same_on_copy(writer)
        (again,) = writer.run([Request((*more, *more), transaction=True)])
        assert isinstance(again, Written)
        assert_same_on_copy(writer)


SCHEMA = (
    "PRAGMA foreign_keys = ON",
    "CREATE TABLE p (id INTEGER PRIMARY KEY, a CHECK (a <> 13))",
    "CREATE TABLE c (p REFERENCES p DEFERRABLE INITIALLY DEFERRED, b UNIQUE ON CONFLICT ROLLBACK)",
    "CREATE TABLE log (what)",
    "CREATE TRIGGER t AFTER INSERT ON p WHEN NEW.id % 2 BEGIN INSERT INTO log VALUES (NEW.id), ('x'); END",
)
SINGLE = (
    "INSERT INTO p VALUES (1, 'a')",
    "INSERT INTO p VALUES (2, 'b'); ",
    "UPDATE p SET a = 'c' WHERE id = 2",
    "UPDATE p SET a = 'c' WHERE id = 2",
    "UPDATE p SET a = 'c' WHERE id = 77",
    "  insert into p (a) select a || '!' from p",
    "REPLACE INTO p VALUES (1, 'd')",
    "INSERT INTO c VALUES (1, 1), (2, 2)",
    "UPDATE c SET b = b + 10",
    "UPDATE p SET id = id + 1000 WHERE id > 2",
)
BAD = (
    "INSERT INTO c VALUES (5000, 6)",
    "INSERT INTO p VALUES (90, 0), (91, 13)",
    "INSERT OR FAIL INTO p VALUES (92, 0), (93, 13)",
    "INSERT INTO c VALUES (1, 50), (1, 50)",
    "INSERT INTO nowhere VALUES (1)",
    "INSERT INTO p VALUES (?, 1)",
    "UPDATE p SET",
)


@pytest.mark.parametrize("bad", [None, *BAD])
def test_requests_are_logged_as_if_each_came_alone(tmp_path: Path, bad: str | None) -> None:
    """One group of them, or one group for each, makes the same log, the same positions and the same errors."""
    half = len(SINGLE) // 2
    requests = [Request((sql,)) for sql in (*SINGLE[:half], *([bad] if bad else []), *SINGLE[half:])]
    for folder in ("together", "alone"):
        (tmp_path / folder).mkdir()
    with opened(tmp_path / "together", *SCHEMA) as together, opened(tmp_path / "alone", *SCHEMA) as alone:
        found = together.run(requests)
        expected = [answer for request in requests for answer in alone.run([request])]
        for one, other in zip(found, expected, strict=True):
            assert str(one) == str(other)
        assert sum(isinstance(answer, StatementFailed) for answer in found) == (bad is not None)
        assert together.paths.wal.read_bytes() == alone.paths.wal.read_bytes()
        assert_same_on_copy(together)
        assert len(together.run(requests, stop_at_failure=True)) == 1

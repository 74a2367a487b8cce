"""Statements of users, one after the other: what each is refused for, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from spgrepl.errors import EngineFailed, StatementFailed
from spgrepl.primary.changes.sequences import LAST_NUMBER
from spgrepl.primary.parts.statements import prepare
from spgrepl.primary.running.session import WriterSession
from spgrepl.primary.running.statement_runner import Control, StatementRunner
from tests.primary.copying import Writer, assert_same_on_copy, opened

TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY, b)"
Run = Callable[..., Any]


def functions(connection: apsw.Connection) -> None:
    """Functions of a program that uses this library."""
    connection.create_scalar_function("boom", lambda: {}["key"])


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path, TABLE, setup=functions) as made:
        yield made


@pytest.fixture
def session(writer: Writer) -> Iterator[WriterSession]:
    made = writer.start_group(durable=False)
    made.recording.begin()
    yield made
    made.rollback()


@pytest.fixture
def runner(session: WriterSession) -> StatementRunner:
    return session.runner


@pytest.fixture
def run(runner: StatementRunner) -> Run:
    def one(sql: str, parameters: Any = None, rows: Any = None) -> Any:
        return runner.run(prepare(sql, 10_000, True), parameters, rows)

    return one


def test_what_returns_rows_gives_them_all(run: Run) -> None:
    result = run("INSERT INTO t (b) VALUES (:b) RETURNING a, b AS c", None, [{"b": 1}, {"b": 2}])
    assert (result.columns, result.rows) == (("a", "c"), [(1, 1), (2, 2)])
    assert run("UPDATE t SET b = 3") is None
    assert run("SELECT b FROM t WHERE a = ?", (2,)).rows == [(3,)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("INSERT INTO t VALUES (1, boom())", "KeyError: 'key'"),
        ("SELECT CAST(x'ff' AS TEXT)", "not UTF-8"),
        ("INSERT INTO t VALUES (?, ?)", "do not fit the parameters"),
        ("INSERT INTO spgrepl_state DEFAULT VALUES", "belongs to spgrepl"),
        ("CREATE TEMP TABLE u (a)", "temporary"),
        ("SAVEPOINT spgrepl_x", "belongs to spgrepl"),
        ("RELEASE nowhere", "no such savepoint"),
        ("INSERT INTO t VALUES (1)", "2 columns but 1 values"),
    ],
)
def test_each_refusal_names_its_reason_and_its_statement(run: Run, sql: str, message: str) -> None:
    with pytest.raises(StatementFailed, match=message) as caught:
        run(sql, ())
    assert caught.value.sql == sql


def test_only_rows_are_run_many_times(run: Run) -> None:
    with pytest.raises(StatementFailed, match="only a statement that changes rows"):
        run("SELECT ?", None, [(1,), (2,)])


def test_a_table_without_a_next_number_is_named(run: Run, session: WriterSession) -> None:
    run("CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT)")
    run(f"INSERT INTO n VALUES ({LAST_NUMBER})")
    with pytest.raises(StatementFailed, match="table n is AUTOINCREMENT and has used its last number"):
        run("INSERT INTO n VALUES (NULL)")


def test_what_is_rolled_back_to_a_savepoint_was_never_done(writer: Writer) -> None:
    """Names that differ in other letters than those of ASCII are two savepoints."""
    writer.transaction(
        'SAVEPOINT "Ä"',
        "INSERT INTO t VALUES (1, 1)",
        'SAVEPOINT "ä"',
        "INSERT INTO t VALUES (2, 2)",
        'ROLLBACK TO "Ä"',
        "INSERT INTO t VALUES (3, 3)",
        "SAVEPOINT s",
        "INSERT INTO t VALUES (4, 4)",
        "SAVEPOINT S",
        "INSERT INTO t VALUES (5, 5)",
        "ROLLBACK TO s",
        "RELEASE s",
    )
    assert writer.rows("SELECT a FROM t") == [(3,), (4,)]
    assert_same_on_copy(writer)


def test_an_interruption_ends_what_runs_and_what_would_come(tmp_path: Path) -> None:
    control, told = Control(), list[int]()

    def watch(changes: int) -> None:
        told.append(changes)
        control.interruption = lambda: EngineFailed("stopped")

    session = WriterSession(tmp_path / "a.db", 10_000, control)
    session.prepare()
    control.watcher = watch
    count = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    for sql in (count, "SELECT 1"):
        with pytest.raises(EngineFailed, match="stopped"):
            session.runner.run(prepare(sql, 10_000, False), None, None)
    assert told == [0]
    session.close()


def test_foreign_keys_are_due_when_a_request_ends(run: Run, runner: StatementRunner) -> None:
    run("CREATE TABLE c (a REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
    runner.keeps_foreign_keys = True
    runner._connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1)
    run("INSERT INTO c VALUES (5)")
    with pytest.raises(StatementFailed, match="FOREIGN KEY constraint failed") as caught:
        runner.require_rows_of_keys("COMMIT", 3)
    assert caught.value.number == 3
    run("INSERT INTO t VALUES (5, 5)")
    runner.require_rows_of_keys("COMMIT", 3)

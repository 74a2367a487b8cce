"""One statement after the other: a plan that was kept gives what a fresh one gives, whatever happened between."""

from __future__ import annotations

import contextlib

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.replay import Nondeterministic, SpgReplay, holds_spg
from tests.spgsql.copy import Copy

TABLE = "CREATE TABLE t (id INT PRIMARY KEY, x TEXT, n NUMERIC)"
STATEMENTS = st.sampled_from(
    [
        "INSERT INTO t VALUES ({0}, '{1}', {1})",
        "INSERT INTO t (id, x) VALUES ({0}, 'q''{1}') ON CONFLICT (id) DO UPDATE SET x = excluded.x",
        "UPDATE t SET x = '{1}', n = n + {1} WHERE id > {0}",
        "UPDATE t SET id = id + 10 WHERE id = {0} AND NOT EXISTS (SELECT 1 FROM t AS u WHERE u.id = t.id + 10)",
        "DELETE FROM t WHERE id IN ({0}, {1})",
        "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY id LIMIT {1})",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS y INT DEFAULT 3",
        "DELETE FROM t WHERE n > {1}.5",
    ]
)
COURSES = st.lists(st.builds(str.format, STATEMENTS, st.integers(0, 5), st.integers(0, 3)), max_size=10)


def course(statements: list[str], kept: bool) -> list[object]:
    copy = Copy()
    copy.run(TABLE)
    for statement in statements:
        if not kept:
            copy.replay = SpgReplay(copy.connection, Nondeterministic.STOP, copy._run)
        with contextlib.suppress(apsw.ConstraintError):
            copy.run(statement)
    return copy.rows("SELECT * FROM t ORDER BY id")


@settings(max_examples=25, deadline=None)
@given(COURSES)
def test_plans_that_are_kept_change_nothing(statements: list[str]) -> None:
    assert course(statements, kept=True) == course(statements, kept=False)


def test_a_transaction_that_is_undone_takes_its_tables_with_it(copy: Copy) -> None:
    copy.run(TABLE)
    copy.connection.execute("BEGIN")
    copy.run("ALTER TABLE t ADD y INT DEFAULT 7", "INSERT INTO t (id) VALUES (1)", "DROP TABLE t")
    copy.connection.execute("ROLLBACK")
    copy.replay.undone()
    copy.run("INSERT INTO t VALUES (1, 'a', 2)")
    copy.stop("UPDATE t SET y = 1", "no column y")


def test_a_savepoint_takes_its_tables_with_it(copy: Copy) -> None:
    copy.connection.execute("BEGIN")
    copy.replay.transaction_word("SAVEPOINT a")
    copy.run(TABLE, "INSERT INTO t VALUES (1, 'a', 2)")
    copy.replay.transaction_word("ROLLBACK TO a")
    copy.stop("INSERT INTO t VALUES (1, 'a', 2)", "no such table: t")


def test_the_clock_is_asked_for_the_statement(loose: Copy) -> None:
    loose.run("CREATE TABLE t (id INT PRIMARY KEY, ts TIMESTAMPTZ)")
    known = {1: 0, 2: 1_000_000}
    loose.replay.tell_clock(known.get)
    for index in known:
        loose.replay.execute(f"INSERT INTO t VALUES ({index}, now())", index)
    assert loose.values("SELECT ts FROM t") == ["1970-01-01 00:00:00+00", "1970-01-01 00:00:01+00"]
    with pytest.raises(StatementStopped, match="it has not sent a STATUS"):
        loose.replay.execute("INSERT INTO t VALUES (3, now())", 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("VACUUMISH t", "begins with VACUUMISH T"),
        ("€", "begins with €"),
        ("UPDATE t SET n = " + "9" * 5000, "is not known here"),
        ("UPDATE t SET n = 1e99999", "is not known here"),
        ("UPDATE t SET id = " + "9" * 5000, "is not known here"),
        ("UPDATE t SET id = " + "+" * 1500 + "1", "nested"),
    ],
)
def test_what_is_not_run_is_refused_with_its_reason(copy: Copy, text: str, said: str) -> None:
    copy.run(TABLE, "INSERT INTO t VALUES (1, 'a', 2)")
    copy.stop(text, said)
    assert copy.rows("SELECT * FROM t") == [(1, "a", "2")]


def test_records_and_what_is_counted(copy: Copy) -> None:
    assert copy.replay.pieces("SELECT ';'; ; DELETE FROM t", Dialect.POSTGRESQL) == ["SELECT ';'", "DELETE FROM t"]
    copy.run("-- nothing", "SET client_encoding TO 'UTF8'")
    assert "(nothing but a comment)" in str(copy.counts())
    assert holds_spg(copy.connection)
    copy.connection.execute("DROP TABLE spgrepl_spg_columns")
    assert not holds_spg(copy.connection)

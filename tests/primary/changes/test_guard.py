"""What the statements of users may not touch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.primary.changes.guard import ObjectGuard


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        made.execute(
            "CREATE TABLE t (a); CREATE TABLE spgrepl_replay (a); CREATE VIEW v AS SELECT * FROM spgrepl_replay"
        )
        yield made


@pytest.fixture
def guard(connection: apsw.Connection) -> ObjectGuard:
    made = ObjectGuard()
    made.install(connection)
    made.watching = True
    return made


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("INSERT INTO spgrepl_replay VALUES (1)", "spgrepl_replay belongs to spgrepl"),
        ("SELECT a FROM SPGREPL_Replay", "spgrepl_replay belongs to spgrepl"),
        ("SELECT a FROM v", "spgrepl_replay belongs to spgrepl"),
        ("CREATE TABLE spgrepl_mine (a)", "spgrepl_mine belongs to spgrepl"),
        ("CREATE TEMP TABLE u (a)", "a temporary table"),
        ("CREATE TABLE temp.u (a)", "a temporary table"),
        ("CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END", "a temporary table"),
        ("ATTACH ':memory:' AS other", "another database file"),
    ],
)
def test_what_is_denied_and_why(connection: apsw.Connection, guard: ObjectGuard, sql: str, reason: str) -> None:
    for _ in range(2):
        with pytest.raises(apsw.Error):
            connection.execute(sql)
        denied = guard.take()
        assert denied is not None
        assert denied.startswith(reason)
        assert guard.take() is None


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "CREATE TABLE u (a)", "REINDEX", "ANALYZE"])
def test_all_else_is_let_pass(connection: apsw.Connection, guard: ObjectGuard, sql: str) -> None:
    connection.execute(sql)
    assert guard.take() is None


def test_what_is_our_own_is_let_pass_in_the_midst_of_a_user_s(
    connection: apsw.Connection, guard: ObjectGuard
) -> None:
    with guard.looking_away():
        connection.execute("INSERT INTO spgrepl_replay VALUES (1)")
    assert guard.watching
    with pytest.raises(apsw.Error):
        connection.execute("DELETE FROM spgrepl_replay")
    assert guard.take() is not None


def test_a_name_that_was_allowed_does_not_open_another(connection: apsw.Connection, guard: ObjectGuard) -> None:
    connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(apsw.Error):
        connection.execute("INSERT INTO spgrepl_replay SELECT a FROM t")
    assert guard.take() is not None

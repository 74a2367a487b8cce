"""The `sqlite` target on rows: each finds what it must find, or is counted by its kind of conflict."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.target import SubscriptionState
from tests import sql

TABLES = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY,name)",
    "CREATE TABLE seen(what)",
    "CREATE TRIGGER note AFTER INSERT ON t BEGIN INSERT INTO seen VALUES(new.id); END",
)


@contextlib.contextmanager
def target_in(folder: Path, *, fire_triggers: bool = False) -> Iterator[SqliteTarget]:
    target = SqliteTarget(folder / "data.db", "s", TargetOptions(fire_triggers=fire_triggers))
    if target.open() is None:
        target.start(SubscriptionState((), 50, 50))
    try:
        yield target
    finally:
        target.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with contextlib.closing(sql.connect(tmp_path / "data.db")) as connection:
        for table in TABLES:
            connection.execute(table)
    return tmp_path


def apply(target: SqliteTarget, *statements: str, rows: bool = True) -> None:
    target.begin()
    try:
        target.execute([statement.encode() for statement in statements], {}, rows)
        target.commit(SubscriptionState((), 50, 60))
    finally:
        target.rollback()


def content(folder: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sql.connect(folder / "data.db")) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(("fire", "seen"), [(False, 0), (True, 3)])
def test_own_triggers_fire_only_where_that_was_asked_for(folder: Path, fire: bool, seen: int) -> None:
    with target_in(folder, fire_triggers=fire) as target:
        apply(target, "INSERT INTO t(id,name)VALUES(1,'a')", "INSERT INTO t(id,name)VALUES(2,'b')")
        apply(target, "INSERT INTO t VALUES (3, 'as another server writes it')", rows=False)
        assert content(folder, "SELECT count(*) FROM seen") == [(seen,)]
        assert target.statistics()["rows"] == {"t": {"insert": 2}}


def test_conflicts_are_counted_by_kind_and_once(folder: Path) -> None:
    with target_in(folder) as target:
        apply(target, "INSERT INTO t(id,name)VALUES(1,'a')")
        for statement in (
            "INSERT INTO t(id,name)VALUES(1,'x')",
            "UPDATE t SET name='x' WHERE id=2",
            "UPDATE t SET name='x' WHERE id=3",
            "DELETE FROM t WHERE id=2",
        ):
            for _ in range(3):  # it is tried again
                with pytest.raises(StatementRefused):
                    apply(target, statement)
        assert target.statistics()["conflicts"] == {"insert_exists": 1, "update_missing": 2, "delete_missing": 1}
        assert content(folder, "SELECT * FROM t") == [(1, "a")]


def test_what_looks_like_a_row_is_one_only_where_the_master_says_so(folder: Path) -> None:
    with target_in(folder) as target:
        # Somebody may write it so at another server, where it met no row either.
        apply(target, "INSERT INTO t(id,name)VALUES(1,'a')", "DELETE FROM t WHERE id=7", rows=False)
        with pytest.raises(StatementRefused, match="no such row is there"):
            apply(target, "DELETE FROM t WHERE id=7")
        with pytest.raises(StatementRefused, match="no column 7"):
            apply(target, 'DELETE FROM t WHERE id="7"', rows=False)  # SQLite would read "7" as a text
        assert content(folder, "SELECT * FROM t") == [(1, "a")]


def test_a_table_is_not_emptied_of_rows_that_may_be_of_here(folder: Path) -> None:
    with target_in(folder) as target:
        apply(target, "INSERT INTO t(id,name)VALUES(1,'a')")
        with pytest.raises(StatementRefused, match="1 row is here: delete those that came from there") as found:
            apply(target, "DELETE FROM t")
        assert found.value.conflict == "table_cleared"
        apply(target, "DELETE FROM t WHERE id=1")
        apply(target, "DELETE FROM t")  # nothing can be lost
        # In a log of statements somebody said just that.
        apply(target, "INSERT INTO t(id,name)VALUES(1,'a')")
        apply(target, "DELETE FROM t", rows=False)
        assert content(folder, "SELECT * FROM t") == []
        assert target.statistics()["conflicts"] == {"table_cleared": 1}


class TestTriggersThatFire:
    """Rows must find what they have to find, and triggers mean what they say."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        with contextlib.closing(sql.connect(tmp_path / "data.db")) as connection:
            for table in (
                "CREATE TABLE t(id INTEGER PRIMARY KEY,name UNIQUE ON CONFLICT REPLACE)",
                "CREATE TABLE k(id TEXT PRIMARY KEY ON CONFLICT IGNORE,n) WITHOUT ROWID",
                "CREATE TABLE last(id INTEGER PRIMARY KEY,n)",
                "CREATE TRIGGER keep AFTER INSERT ON k BEGIN INSERT OR REPLACE INTO last VALUES(1,new.n); END",
                "CREATE TRIGGER moved AFTER UPDATE ON k BEGIN DELETE FROM last; END",
            ):
                connection.execute(table)
        return tmp_path

    def test_conflict_clauses_inside_of_triggers_hold(self, folder: Path) -> None:
        with target_in(folder, fire_triggers=True) as target:
            apply(target, "INSERT INTO k(id,n)VALUES('a',1)", "INSERT INTO k(id,n)VALUES('b',2)")
            assert content(folder, "SELECT * FROM last") == [(1, 2)]
            apply(target, "UPDATE k SET id='c' WHERE id='a'", "DELETE FROM k WHERE id='b'")
            assert content(folder, "SELECT * FROM last") == []
            assert content(folder, "SELECT * FROM k") == [("c", 1)]

    @pytest.mark.parametrize(
        ("statement", "kind"),
        [
            ("INSERT INTO t(id,name)VALUES(3,'a')", "insert_exists"),
            ("UPDATE t SET name='a' WHERE id=2", "update_exists"),
            ("INSERT INTO k(id,n)VALUES('a',9)", "insert_exists"),
        ],
    )
    def test_conflict_clauses_of_tables_do_not(self, folder: Path, statement: str, kind: str) -> None:
        with target_in(folder, fire_triggers=True) as target:
            apply(target, "INSERT INTO t(id,name)VALUES(1,'a')", "INSERT INTO t(id,name)VALUES(2,'b')")
            apply(target, "INSERT INTO k(id,n)VALUES('a',1)")
            with pytest.raises(StatementRefused) as found:
                apply(target, statement)
            assert found.value.conflict == kind
            assert content(folder, "SELECT * FROM t") == [(1, "a"), (2, "b")]
            assert content(folder, "SELECT * FROM k") == [("a", 1)]

"""Tables of a subscription that somebody changes after the copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import LocalFilesDamaged, TableMismatch
from spgrepl.interfaces.target import SubscriptionState
from tests.replica.subscribing.targets import make_snapshot, rows, run_sql

TABLE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE CHECK (a <> ''), "
    "b INTEGER UNIQUE, c AS (b + 1), d NOT NULL ON CONFLICT IGNORE DEFAULT 0)"
)
INDEX = "CREATE UNIQUE INDEX u ON t (a DESC, b)"
ROW = b"INSERT INTO t(id,a,b,d)VALUES(2,'y',2,2)"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    snapshot = make_snapshot(
        tmp_path / "snapshot.db",
        TABLE,
        INDEX,
        "INSERT INTO t VALUES (1, 'x', 1, 1)",
        control=("CREATE PUBLICATION p",),
    )
    path = tmp_path / "target.db"
    target = SqliteTarget(path, "s")
    target.open()
    target.copy_snapshot(snapshot, ("p",), 900)
    target.close()
    return path


def rebuilt(sql: str) -> tuple[str, ...]:
    """Another table in the place of the one that was copied."""
    return ("DROP TABLE t", sql, INDEX)


def apply(target: SqliteTarget) -> None:
    state = target.open()
    assert state is not None
    apply_open(target, state)


def apply_open(target: SqliteTarget, state: SubscriptionState) -> SubscriptionState:
    target.begin()
    try:
        target.execute([ROW.replace(b"2", str(state.position).encode())], {}, rows=True)
        moved = SubscriptionState(state.publications, state.effective_start, state.position + 10)
        target.commit(moved)
    finally:
        target.rollback()
    return moved


CHANGES = [
    (rebuilt(TABLE.replace("a TEXT", "a INTEGER")), "'a INTEGER' here and 'a TEXT'"),
    (rebuilt(TABLE.replace("COLLATE NOCASE", "")), "a COLLATE NOCASE DESC"),
    (rebuilt(TABLE.replace("b + 1", "b + 2")), "generated columns"),
    (rebuilt(TABLE.replace("CHECK (a <> '')", "")), "CHECK constraints"),
    (rebuilt(TABLE.replace("ON CONFLICT IGNORE", "")), "ON CONFLICT clauses"),
    (rebuilt(TABLE.replace("b INTEGER UNIQUE", "b INTEGER")), "unique indexes"),
    (("DROP INDEX u",), "unique indexes"),
    (
        ("ALTER TABLE t RENAME a TO e", "ALTER TABLE t RENAME b TO a", "ALTER TABLE t RENAME e TO b"),
        "'b TEXT' here",
    ),
    (("ALTER TABLE t DROP COLUMN d", "ALTER TABLE t ADD COLUMN d INTEGER"), "column 5 is 'd INTEGER' here"),
]


@pytest.mark.parametrize(("statements", "reason"), CHANGES)
def test_a_changed_table_is_noticed_at_the_start_and_while_it_runs(
    database: Path, statements: tuple[str, ...], reason: str
) -> None:
    running = SqliteTarget(database, "s")
    state = running.open()
    assert state is not None
    state = apply_open(running, state)
    run_sql(database, *statements)
    before = rows(database, "SELECT * FROM t")
    try:
        with pytest.raises(TableMismatch, match="start once with --accept-changed-tables") as found:
            apply_open(running, state)
        assert reason in str(found.value)
    finally:
        running.close()
    with pytest.raises(TableMismatch) as found:
        SqliteTarget(database, "s").open()
    assert reason in str(found.value)
    assert rows(database, "SELECT * FROM t") == before


def test_a_changed_table_is_taken_as_it_is_once_and_from_then_on_compared_with_that(database: Path) -> None:
    run_sql(database, *rebuilt(TABLE.replace("a TEXT", "a")))
    target = SqliteTarget(database, "s", TargetOptions(accept_changed_tables=True))
    apply(target)
    target.close()
    apply(target := SqliteTarget(database, "s"))
    target.close()
    run_sql(database, *rebuilt(TABLE))
    with pytest.raises(TableMismatch, match=r"'a TEXT' here and 'a \(no type\)' when"):
        SqliteTarget(database, "s").open()


@pytest.mark.parametrize(
    "statements",
    [
        (
            "ALTER TABLE t ADD COLUMN e TEXT COLLATE NOCASE CHECK (e <> '') DEFAULT 'x'",
            "CREATE UNIQUE INDEX v ON t (e, id)",
        ),
        (
            "CREATE INDEX i ON t (b)",
            "CREATE TABLE more (x)",
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
        ),
        ("ALTER TABLE t ADD COLUMN e AS (b * 2)",),
        ("CREATE TABLE kept AS SELECT * FROM t", "DELETE FROM t"),
    ],
)
def test_what_makes_no_difference_to_records_is_none(database: Path, statements: tuple[str, ...]) -> None:
    run_sql(database, *statements)
    target = SqliteTarget(database, "s")
    apply(target)
    target.close()
    target.open()


def test_added_columns_are_compared_from_then_on(database: Path) -> None:
    run_sql(database, "ALTER TABLE t ADD COLUMN e TEXT")
    target = SqliteTarget(database, "s")
    apply(target)
    target.close()
    run_sql(database, "ALTER TABLE t DROP COLUMN e", "ALTER TABLE t ADD COLUMN e INTEGER")
    with pytest.raises(TableMismatch, match="column 6 is 'e INTEGER' here and 'e TEXT'"):
        SqliteTarget(database, "s").open()


def test_a_table_that_is_gone_is_not_compared(database: Path) -> None:
    run_sql(database, "DROP TABLE t")
    SqliteTarget(database, "s").open()


def test_a_row_of_the_shapes_that_spgrepl_did_not_write_is_named(database: Path) -> None:
    run_sql(database, "UPDATE spgrepl_shapes SET shape = '[]'")
    with pytest.raises(LocalFilesDamaged, match="table t in the table spgrepl_shapes cannot be read"):
        SqliteTarget(database, "s").open()

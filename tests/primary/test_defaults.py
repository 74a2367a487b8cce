"""INSERTs that leave out a column whose default a copy would evaluate otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.errors import NotReplayable
from tests.primary.copying import assert_same_on_copy, only, opened

TABLE = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, "
    "u TEXT DEFAULT (lower(hex(randomblob(8)))), s INT DEFAULT (strftime('%s', 'now')), k DEFAULT 'constant')"
)


def test_the_definition_stays_as_it_is(tmp_path: Path) -> None:
    """The table keeps its defaults, in the database and in the log."""
    with opened(tmp_path, TABLE) as writer:
        assert writer.logged() == [TABLE]
        assert only(writer.rows("SELECT sql FROM sqlite_master WHERE name = 't'")) == TABLE


@pytest.mark.parametrize(
    ("insert", "count"),
    [
        ("INSERT INTO t (a) VALUES (1)", 1),
        ("INSERT INTO t(a) VALUES (1), (2),(3)", 3),
        ("INSERT INTO main.t AS x (a) VALUES ('a;b -- (') ON CONFLICT DO NOTHING", 1),
        ("INSERT INTO t DEFAULT VALUES", 1),
        ("INSERT INTO T DEFAULT VALUES RETURNING at", 1),
        ('REPLACE INTO "t" ([a]) VALUES (max(1, 2)) RETURNING *', 1),
        ("INSERT OR IGNORE INTO t (id, a) VALUES (1, 1), (2, 2)", 2),
        ("WITH x AS (SELECT 1 AS y) INSERT INTO t (a) VALUES ((SELECT y FROM x))", 1),
        ("insert into t (A, AT) values (1, 2)", 1),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 2", 1),
        ("INSERT INTO t (a) VALUES (1); -- done", 1),
    ],
)
def test_left_out_columns_are_filled_in(tmp_path: Path, insert: str, count: int) -> None:
    """The row gets what SQLite would have given it, and so does the copy."""
    with opened(tmp_path, TABLE) as writer:
        writer.execute(insert)
        rows = writer.rows("SELECT at, length(u), typeof(s), k FROM t")
        assert len(rows) == count
        for at, length, kind, constant in rows:
            assert str(at).startswith("2023-11-") or at == "2"
            assert (length, kind, constant) == (16, "integer", "constant")
        assert only(writer.rows("SELECT count(DISTINCT u) FROM t")) == count
        assert_same_on_copy(writer)


def test_all_defaults_of_a_request_mean_one_instant(tmp_path: Path) -> None:
    """The time in a transaction is the same for each of its statements."""
    with opened(tmp_path, TABLE) as writer:
        writer.transaction(
            "INSERT INTO t (a) VALUES (CURRENT_TIMESTAMP)", "INSERT INTO t (a) VALUES (datetime('now'))"
        )
        assert only(writer.rows("SELECT count(DISTINCT at) + count(DISTINCT a) FROM t")) == 2
        assert writer.rows("SELECT 1 FROM t WHERE a <> at OR datetime(s, 'unixepoch') <> at") == []


@pytest.mark.parametrize(
    ("insert", "message"),
    [
        ("INSERT INTO t (a) SELECT 1", "column at"),
        ("INSERT INTO t (a, at) SELECT a, at FROM t", "column u"),
        ("INSERT INTO t (a) VALUES (1) UNION SELECT 2", "column at"),
        ("INSERT OR REPLACE INTO t VALUES (1, 2, NULL, 3, 4, 5)", "CURRENT_TIMESTAMP.*called by a default"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(tmp_path: Path, insert: str, message: str) -> None:
    """The message names the column."""
    with opened(tmp_path, TABLE) as writer:
        with pytest.raises(NotReplayable, match=message):
            writer.execute(insert)
        assert writer.logged() == [TABLE]


def test_columns_that_are_given_stay_untouched(tmp_path: Path) -> None:
    """Nothing is added where nothing is left out."""
    insert = "INSERT INTO t VALUES (1, 2, 3, 4, 5, 6)"
    with opened(tmp_path, TABLE, insert, "INSERT INTO t (at, u, s) SELECT 1, 2, 3") as writer:
        assert writer.logged()[1] == insert
        assert_same_on_copy(writer)


def test_a_default_without_one_value_is_refused(tmp_path: Path) -> None:
    """A default that asks for the statement before cannot be evaluated ahead."""
    with (
        opened(tmp_path, "CREATE TABLE t (a, b DEFAULT (last_insert_rowid()))") as writer,
        pytest.raises(NotReplayable, match=r"column b is left out, and its default \(last_insert_rowid\(\)\)"),
    ):
        writer.execute("INSERT INTO t (a) VALUES (1)")


def test_defaults_follow_the_schema(tmp_path: Path) -> None:
    """Tables that are made, changed, dropped or taken back are known at once."""
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        writer.execute("INSERT INTO t (a) VALUES (1)")
        writer.execute("ALTER TABLE t RENAME TO old")
        writer.execute("CREATE TABLE t (a, b DEFAULT CURRENT_DATE)")
        writer.execute("INSERT INTO t (a) VALUES (1)")
        assert "2023" in writer.logged()[-1]
        writer.execute("ALTER TABLE t RENAME COLUMN b TO c")
        writer.execute("INSERT INTO t (a) VALUES (2)")
        assert '"c"' in writer.logged()[-1]
        writer.transaction(
            "SAVEPOINT s", "DROP TABLE t", "CREATE TABLE t (a)", "ROLLBACK TO s", "INSERT INTO t (a) VALUES (3)"
        )
        assert_same_on_copy(writer)


@pytest.mark.parametrize("call", ["datetime('now', 'localtime')", "datetime()", "strftime('%J')"])
def test_ways_to_write_the_time_in_a_default(tmp_path: Path, call: str) -> None:
    """Local time is the primary's; a time that is left out is the present."""
    with opened(tmp_path) as writer:
        writer.execute(f"CREATE TABLE t (a, b DEFAULT ({call}))")
        writer.execute("INSERT INTO t (a) VALUES (1)")
        assert_same_on_copy(writer)


def test_a_generated_column_and_a_strange_name(tmp_path: Path) -> None:
    """Names are quoted, and generated columns are not given."""
    with opened(tmp_path) as writer:
        writer.execute('CREATE TABLE "a b" (x, "c "" d" DEFAULT CURRENT_TIME, y AS (x + 1))')
        writer.execute('INSERT INTO "a b" (x) VALUES (1)')
        assert writer.rows('SELECT y FROM "a b"') == [(2,)]
        assert_same_on_copy(writer)

"""The initial copy: the rows of published tables, exactly, all of them or none."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.engines.targets import sqlite_target
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import ConfigurationError, EngineFailed, PositionTooLarge, SnapshotError, TableMismatch
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.session import prepare_applying
from spgrepl.text.sqltext import quote_name
from tests import sql as sqlite3
from tests.replica.following.copies import quick_folder
from tests.replica.subscribing.targets import make_snapshot, objects, rows, run_sql


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "target.db"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    return tmp_path / "a snapshot?.db"


def copy(database: Path, snapshot: Path, *publications: str) -> SubscriptionState:
    target = SqliteTarget(database, "s")
    target.open()
    try:
        return target.copy_snapshot(snapshot, publications, 900)
    finally:
        target.close()


def stored(database: Path) -> SubscriptionState | None:
    return SqliteTarget(database, "s").open()


# -- which tables ---------------------------------------------------------------------------------------------

THREE = (
    "CREATE TABLE a (x)",
    "INSERT INTO a VALUES (1), (2)",
    'CREATE TABLE "Mixed Case" (x)',
    "INSERT INTO \"Mixed Case\" VALUES ('m')",
    "CREATE TABLE c (x)",
    "INSERT INTO c VALUES ('c')",
)
PUBLICATIONS = (
    "CREATE PUBLICATION everything",
    "CREATE PUBLICATION only_a FOR TABLE public.A",
    'CREATE PUBLICATION only_mixed FOR TABLE "Mixed Case"',
    'CREATE PUBLICATION folded FOR TABLE "mixed case"',
    "CREATE PUBLICATION but_a FOR ALL TABLES EXCEPT a",
    "CREATE PUBLICATION gone FOR TABLE gone",
)


@pytest.mark.parametrize(
    ("publications", "tables"),
    [
        ((), ["Mixed Case", "a", "c"]),
        (("everything",), ["Mixed Case", "a", "c"]),
        (("only_a",), ["a"]),
        (("only_mixed",), ["Mixed Case"]),
        (("folded",), ["Mixed Case"]),
        (("but_a",), ["Mixed Case", "c"]),
        (("but_a", "only_a"), ["Mixed Case", "a", "c"]),
        (("only_a", "only_mixed"), ["Mixed Case", "a"]),
        (("only_a", "nobody"), ["a"]),
        (("nobody",), []),
        (("gone",), []),
    ],
)
def test_the_tables_of_the_publications_come_and_no_others(
    database: Path, snapshot: Path, publications: tuple[str, ...], tables: list[str]
) -> None:
    make_snapshot(snapshot, *THREE, control=PUBLICATIONS)
    before = snapshot.read_bytes()
    state = copy(database, snapshot, *publications)
    assert state == stored(database) == SubscriptionState(publications, 900, 900)
    assert objects(database) == tables
    for table in tables:
        query = f'SELECT rowid, x FROM "{table}"'
        assert rows(database, query) == rows(snapshot, query)
    assert snapshot.read_bytes() == before
    assert sorted(path.name for path in snapshot.parent.iterdir()) == ["a snapshot?.db", "target.db"]


def test_what_adds_nothing_is_warned_of(database: Path, snapshot: Path, logged: list[str]) -> None:
    make_snapshot(snapshot, *THREE, control=PUBLICATIONS)
    copy(database, snapshot, "nobody", "gone")
    assert logged == [
        "the master's snapshot knows no publication nobody: it adds nothing",
        "the published table gone is not in the master's snapshot",
        "there was nothing to copy: the subscription s begins empty",
    ]


def test_a_snapshot_without_a_catalogue_publishes_nothing_by_name(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE)
    copy(database, snapshot, "everything")
    assert objects(database) == []


def test_what_belongs_to_spgrepl_and_sqlite_stays_behind(database: Path, snapshot: Path) -> None:
    make_snapshot(
        snapshot,
        "CREATE TABLE a (x INTEGER PRIMARY KEY AUTOINCREMENT, y)",
        "CREATE INDEX i ON a (y)",
        "INSERT INTO a VALUES (1, 1)",
        "ANALYZE",
        "CREATE VIEW v AS SELECT * FROM a",
        control=PUBLICATIONS,
    )
    copy(database, snapshot)
    found = rows(database, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY 1")
    assert [name for (name,) in found] == [
        "a",
        "spgrepl_shapes",
        "spgrepl_skipped",
        "spgrepl_subscriber",
        "sqlite_sequence",
    ]


def test_triggers_are_named_once_and_not_made(database: Path, snapshot: Path, logged: list[str]) -> None:
    trigger = "CREATE TRIGGER {0} AFTER INSERT ON {1} BEGIN DELETE FROM c; END"
    make_snapshot(snapshot, *THREE, trigger.format("g", "a"), trigger.format("h", "a"), trigger.format("i", "c"))
    copy(database, snapshot)
    assert objects(database) == ["Mixed Case", "a", "c"]
    (warning,) = (text for text in logged if "triggers are not copied" in text)
    assert warning.endswith("g (on a), h (on a), i (on c)")


def test_a_published_virtual_table_is_refused_by_name(database: Path, snapshot: Path) -> None:
    make_snapshot(
        snapshot, "CREATE TABLE a (x)", "CREATE VIRTUAL TABLE words USING fts5 (text)", control=PUBLICATIONS
    )
    with pytest.raises(SnapshotError, match="words is a virtual table"):
        copy(database, snapshot)
    assert not database.exists()
    copy(database, snapshot, "only_a")
    assert objects(database) == ["a"]


# -- which rows -----------------------------------------------------------------------------------------------

KINDS = {
    "rowid": (
        "CREATE TABLE t (a, b TEXT)",
        "INSERT INTO t (rowid, a) VALUES (-5, 'n'), (7, 1.5), (9, x'00'), (11, NULL)",
    ),
    "key": ("CREATE TABLE t (a INTEGER PRIMARY KEY, b)", "INSERT INTO t VALUES (9, 'x'), (-2, 'y'), (3, NULL)"),
    "descending key": (
        "CREATE TABLE t (a INTEGER PRIMARY KEY DESC, b)",
        "INSERT INTO t (rowid, a) VALUES (4, 9), (2, 8)",
    ),
    "autoincrement": (
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)",
        "INSERT INTO t VALUES (500, 'gone'), (7, 'kept')",
        "DELETE FROM t WHERE a = 500",
    ),
    "emptied autoincrement": (
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b)",
        "INSERT INTO t VALUES (500, 'gone')",
        "DELETE FROM t",
    ),
    "without rowid": (
        "CREATE TABLE t (b, a, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "INSERT INTO t VALUES (2, 1), (1, 2)",
    ),
    "strict": ("CREATE TABLE t (a INT, b ANY) STRICT", "INSERT INTO t VALUES (1, '1'), (2, 2.0)"),
    "generated": (
        "CREATE TABLE t (a INT, b AS (a * 2), c TEXT AS (a || 'c') STORED UNIQUE, d DEFAULT 'it''s')",
        "INSERT INTO t (a) VALUES (1), (2)",
    ),
    "one name taken": (
        "CREATE TABLE t (rowid, a)",
        "INSERT INTO t (_rowid_, rowid, a) VALUES (17, 'r', 1), (5, 's', 2)",
    ),
    "key called rowid": ("CREATE TABLE t (rowid INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES (17, 1), (5, 2)"),
    "all but one taken": (
        "CREATE TABLE t (RowId, _ROWID_, a)",
        "INSERT INTO t (oid, a) VALUES (17, 1), (5, 2)",
    ),
    "indexes": (
        "CREATE TABLE t (a UNIQUE, b COLLATE NOCASE, c)",
        "CREATE UNIQUE INDEX i ON t (b, c DESC) WHERE c > 0",
        "CREATE INDEX j ON t (lower(b))",
        "CREATE INDEX k ON t (c, b, a)",
        "INSERT INTO t (rowid, a, b, c) VALUES (9, 1, 'z', 1), (5, 2, 'y', 2), (7, 3, 'Z', 3)",
    ),
    "altered": (
        "CREATE TABLE before (a)",
        "INSERT INTO before VALUES (1)",
        "ALTER TABLE before ADD COLUMN b NOT NULL DEFAULT 7",
        "ALTER TABLE before RENAME TO t",
        'ALTER TABLE t RENAME COLUMN a TO "a b"',
        'CREATE INDEX "odd ""name" ON t ("a b")',
    ),
    "references": (
        "CREATE TABLE t (a REFERENCES nowhere (b) ON DELETE CASCADE, b CHECK (b > 0) DEFAULT (1 + 1))",
        "INSERT INTO t VALUES (1, 2)",
    ),
    "not utf-8": (
        "CREATE TABLE t (a TEXT)",
        "INSERT INTO t VALUES (CAST(x'ff00fe' AS TEXT)), ('a' || char(0) || 'b')",
    ),
    "quoted": ('CREATE TABLE "t" ("select", [from] , `x"y`)', "INSERT INTO t VALUES (1, 2, 3)"),
}
_FILL = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {1}) "
    "INSERT INTO {0} SELECT i, hex(zeroblob({2})) || i FROM n"
)
AFTERWARDS = (
    "INSERT INTO {0} DEFAULT VALUES",
    "UPDATE {0} SET {1} = 77 WHERE {1} = (SELECT min({1}) FROM {0})",
    "INSERT OR REPLACE INTO {0} SELECT * FROM {0} LIMIT 1",
)


def everything(path: Path) -> list[object]:
    """The schema of a database's tables, and all rows with their numbers and the types of their values."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 't' AND sql IS NOT NULL ORDER BY name"
        found: list[object] = list(connection.execute(query))
        names = [name for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo('t')")]
        values = ", ".join(f"CAST({name} AS BLOB), typeof({name})" for name in map(quote_name, names))
        found += connection.execute(f"SELECT {values} FROM t NOT INDEXED").fetchall()
        for number in ("rowid", "_rowid_", "oid"):
            with contextlib.suppress(sqlite3.OperationalError):
                found += connection.execute(f"SELECT {number} FROM t NOT INDEXED").fetchall()
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            found += connection.execute("SELECT * FROM sqlite_sequence").fetchall()
        return found


@pytest.mark.parametrize("statements", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
@pytest.mark.parametrize("present", [False, True], ids=["missing", "present"])
def test_rows_and_their_numbers_are_equal_and_stay_so(
    database: Path, snapshot: Path, statements: tuple[str, ...], encoding: str, present: bool
) -> None:
    make_snapshot(snapshot, *statements, encoding=encoding)
    if present:
        run_sql(
            database,
            f"PRAGMA encoding = '{encoding}'",
            *(sql for sql in statements if "INTO" not in sql and "DELETE" not in sql),
        )
    copy(database, snapshot)
    assert everything(database) == everything(snapshot)
    for path in (snapshot, database):
        (column,) = rows(path, "SELECT name FROM pragma_table_xinfo('t') WHERE NOT hidden LIMIT 1")[0]
        for statement in AFTERWARDS:
            with contextlib.suppress(sqlite3.IntegrityError, sqlite3.OperationalError):
                run_sql(path, statement.format("t", '"' + str(column) + '"'))
    assert everything(database) == everything(snapshot)


def test_where_row_numbers_have_no_name_the_order_stays(database: Path, snapshot: Path) -> None:
    make_snapshot(
        snapshot,
        "CREATE TABLE t (rowid, _rowid_, oid, wide TEXT AS (hex(zeroblob(500))) STORED)",
        "INSERT INTO t VALUES (3, 1, 1), (2, 2, 2), (1, 3, 3), (0, 0, 0)",
        "CREATE INDEX tempting ON t (rowid, _rowid_, oid)",
        "DELETE FROM t WHERE rowid = 2",
    )
    copy(database, snapshot)
    assert rows(database, "SELECT rowid FROM t NOT INDEXED") == [(3,), (1,), (0,)]


def test_a_snapshot_in_wal_mode_is_read_alone(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE)
    run_sql(snapshot, "PRAGMA journal_mode = WAL")
    before = snapshot.read_bytes()
    assert before[18:20] == b"\2\2"
    copy(database, snapshot)
    assert snapshot.read_bytes() == before
    assert sorted(path.name for path in snapshot.parent.iterdir()) == ["a snapshot?.db", "target.db"]


_values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
)


@given(
    content=st.dictionaries(st.integers(-(2**63), 2**63 - 1), st.tuples(_values, _values), max_size=8),
    declared=st.sampled_from(["", "TEXT", "INTEGER", "REAL", "BLOB", "NUMERIC"]),
)
def test_any_rows_arrive_as_they_are(content: dict[int, tuple[object, object]], declared: str) -> None:
    with quick_folder() as folder:
        snapshot = make_snapshot(folder / "snapshot.db", f"CREATE TABLE t (a {declared}, b)")
        with contextlib.closing(sqlite3.connect(snapshot)) as connection:
            with contextlib.suppress(UnicodeEncodeError):
                connection.executemany(
                    "INSERT INTO t (rowid, a, b) VALUES (?, ?, ?)", [(key, *pair) for key, pair in content.items()]
                )
            connection.commit()
        copy(folder / "target.db", snapshot)
        query = "SELECT rowid, a, typeof(a), b, typeof(b) FROM t ORDER BY rowid"
        assert rows(folder / "target.db", query) == rows(snapshot, query)


def test_the_memory_that_a_copy_takes_does_not_depend_on_its_size(tmp_path: Path) -> None:
    used = []
    for number, count in enumerate((100, 60_000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        make_snapshot(
            folder / "snapshot.db",
            "CREATE TABLE t (a INTEGER, b)",
            "CREATE INDEX i ON t (b)",
            _FILL.format("t", count, 500),
        )
        code = _CHILD.format(steps=0) + _PEAK
        used.append(int(_run_child(code, folder / "target.db", folder / "snapshot.db").stdout))
    assert (tmp_path / "1" / "snapshot.db").stat().st_size > 120_000_000
    assert used[1] < used[0] + 24 * 1024


# -- what is there already ------------------------------------------------------------------------------------


def test_other_tables_and_rows_are_left_alone(database: Path, snapshot: Path) -> None:
    run_sql(database, "CREATE TABLE mine (a)", "INSERT INTO mine VALUES (1)", "CREATE INDEX of_mine ON mine (a)")
    make_snapshot(snapshot, *THREE, "CREATE INDEX i ON a (x)")
    copy(database, snapshot)
    assert rows(database, "SELECT * FROM mine") == [(1,)]
    assert objects(database) == ["Mixed Case", "a", "c", "i", "mine", "of_mine"]


def test_an_empty_table_in_other_case_is_filled(database: Path, snapshot: Path) -> None:
    run_sql(database, "CREATE TABLE A (X integer primary key autoincrement, y TEXT)")
    make_snapshot(
        snapshot, "CREATE TABLE a (x INTEGER PRIMARY KEY AUTOINCREMENT, Y text)", "INSERT INTO a VALUES (7, 'y')"
    )
    copy(database, snapshot)
    assert rows(database, "SELECT * FROM a") == [(7, "y")]
    assert rows(database, "SELECT * FROM sqlite_sequence") == [("A", 7)]


@pytest.mark.parametrize(
    ("here", "master", "difference"),
    [
        (
            "CREATE TABLE t (a)",
            "CREATE TABLE t (a, b)",
            r"column 2 is missing here and 'b \(no type\)' on the master",
        ),
        (
            "CREATE TABLE t (a, b)",
            "CREATE TABLE t (a)",
            r"column 2 is 'b \(no type\)' here and missing on the master",
        ),
        (
            "CREATE TABLE t (a TEXT)",
            "CREATE TABLE t (a INT)",
            "column 1 is 'a TEXT' here and 'a INT' on the master",
        ),
        ("CREATE TABLE t (a)", "CREATE TABLE t (a NOT NULL)", "NOT NULL' on the master"),
        ("CREATE TABLE t (a DEFAULT 1)", "CREATE TABLE t (a DEFAULT 2)", "DEFAULT 1' here and"),
        ("CREATE TABLE t (a, b)", "CREATE TABLE t (b, a)", r"column 1 is 'a \(no type\)' here"),
        ("CREATE TABLE t (a INT)", "CREATE TABLE t (a INT PRIMARY KEY)", r"PRIMARY KEY \(1\)' on the master"),
        ("CREATE TABLE t (a, b)", "CREATE TABLE t (a, b AS (a))", "GENERATED' on the master"),
        (
            "CREATE TABLE t (a INT PRIMARY KEY)",
            "CREATE TABLE t (a INT PRIMARY KEY) WITHOUT ROWID",
            "column 1 is|it is not WITHOUT ROWID here and so on the master",
        ),
        ("CREATE TABLE t (a INT) STRICT", "CREATE TABLE t (a INT)", "it is STRICT here and not so on the master"),
        (
            "CREATE TABLE t (a INTEGER PRIMARY KEY)",
            "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)",
            "it is not AUTOINCREMENT here and so on the master",
        ),
        ("CREATE TABLE t (a)", "CREATE TABLE t (a UNIQUE)", r"on nothing here and on \(a COLLATE BINARY\)"),
        (
            "CREATE TABLE t (a UNIQUE)",
            "CREATE TABLE t (a COLLATE NOCASE UNIQUE)",
            r"on \(a COLLATE BINARY\) here and on \(a COLLATE NOCASE\)",
        ),
        (
            "CREATE TABLE t (a, b); CREATE UNIQUE INDEX i ON t (a) WHERE b > 1",
            "CREATE TABLE t (a, b); CREATE UNIQUE INDEX i ON t (a) WHERE b > 2",
            r"B > 1\) here",
        ),
        (
            "CREATE TABLE t (a, b); CREATE UNIQUE INDEX i ON t (a + 1)",
            "CREATE TABLE t (a, b); CREATE UNIQUE INDEX i ON t (a + 2)",
            r"\(expression\)",
        ),
        (
            "CREATE TABLE t (a TEXT COLLATE NOCASE)",
            "CREATE TABLE t (a TEXT)",
            "its collations are a NOCASE here and none on the master",
        ),
        (
            "CREATE TABLE t (a, CHECK (a > 1))",
            "CREATE TABLE t (a CHECK (a > 2))",
            r"its CHECK constraints are \( a > 1 \) here and \( a > 2 \) on the master",
        ),
        ("CREATE TABLE t (a CHECK (a > 1))", "CREATE TABLE t (a)", r"are \( a > 1 \) here and none on the master"),
        (
            "CREATE TABLE t (a, b AS (a + 1))",
            "CREATE TABLE t (a, b GENERATED ALWAYS AS (a + 2))",
            r"its generated columns are b \( a \+ 1 \) here and b \( a \+ 2 \) on the master",
        ),
        (
            "CREATE TABLE t (a UNIQUE ON CONFLICT REPLACE)",
            "CREATE TABLE t (a UNIQUE)",
            "its ON CONFLICT clauses are a UNIQUE ON CONFLICT REPLACE here and none on the master",
        ),
    ],
)
def test_a_table_that_differs_is_refused_by_name(
    database: Path, snapshot: Path, here: str, master: str, difference: str
) -> None:
    run_sql(database, *here.split("; "))
    make_snapshot(snapshot, "CREATE TABLE before_it (a)", *master.split("; "))
    before = rows(database, "SELECT * FROM sqlite_master")
    with pytest.raises(TableMismatch, match=difference) as caught:
        copy(database, snapshot)
    assert "the published table t is in" in str(caught.value)
    assert "--no-copy-data" in str(caught.value)
    assert rows(database, "SELECT * FROM sqlite_master") == before
    assert stored(database) is None


@pytest.mark.parametrize(
    ("here", "what"),
    [
        ("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2); CREATE UNIQUE INDEX u ON t (b)", "holds rows"),
        ("CREATE VIEW t AS SELECT 1", "needs the name t, which is that of a view"),
        ("CREATE TABLE u (a); CREATE INDEX t ON u (a)", "needs the name t, which is that of an index of u"),
        (
            "CREATE TABLE mine (a); CREATE INDEX U ON mine (a)",
            "needs the name u, which is that of an index of mine",
        ),
        ("CREATE VIRTUAL TABLE t USING fts5 (a)", "needs the name t, which is that of a table"),
    ],
)
def test_what_stands_in_the_way_is_named_and_nothing_is_copied(
    database: Path, snapshot: Path, here: str, what: str
) -> None:
    run_sql(database, *here.split("; "))
    make_snapshot(
        snapshot,
        "CREATE TABLE before_it (a)",
        "INSERT INTO before_it VALUES (1)",
        "CREATE TABLE t (a, b)",
        "CREATE UNIQUE INDEX u ON t (b)",
    )
    before = rows(database, "SELECT * FROM sqlite_master")
    with pytest.raises(TableMismatch, match=what):
        copy(database, snapshot)
    assert rows(database, "SELECT * FROM sqlite_master") == before
    assert stored(database) is None


def test_unique_indexes_of_other_names_are_the_same(database: Path, snapshot: Path) -> None:
    run_sql(database, "CREATE TABLE t (a, b)", "CREATE UNIQUE INDEX mine ON t (a, lower(B)) WHERE b > 0")
    make_snapshot(
        snapshot,
        "CREATE TABLE t (a, b)",
        "CREATE UNIQUE INDEX theirs ON t (A,lower(b)) where b>0",
        "INSERT INTO t VALUES (1, 'b')",
    )
    copy(database, snapshot)
    assert rows(database, "SELECT * FROM t") == [(1, "b")]
    assert objects(database) == ["mine", "t"]


def test_a_second_copy_is_refused_and_the_first_stays(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE)
    copy(database, snapshot)
    run_sql(database, "UPDATE spgrepl_subscriber SET position = 950")
    with pytest.raises(TableMismatch, match="holds rows"):
        copy(database, snapshot)
    assert stored(database) == SubscriptionState((), 900, 950)


def test_one_subscription_after_another_brings_its_tables(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE, control=PUBLICATIONS)
    copy(database, snapshot, "only_a")
    other = SqliteTarget(database, "other")
    other.copy_snapshot(snapshot, ("but_a",), 900)
    other.begin()
    other.execute([b"INSERT INTO c VALUES ('d')"], {})
    other.commit(SubscriptionState(("but_a",), 900, 950))
    with pytest.raises(sqlite3.OperationalError, match="too many attached databases"):
        other._connect().connection.execute("ATTACH ':memory:' AS m")
    other.close()
    assert objects(database) == ["Mixed Case", "a", "c"]
    assert rows(database, "SELECT name, position FROM spgrepl_subscriber ORDER BY 1") == [
        ("other", 950),
        ("s", 900),
    ]


@pytest.mark.parametrize("role", ["primary", "follower"])
def test_somebody_elses_rows_are_left_alone(database: Path, snapshot: Path, role: str) -> None:
    make_snapshot(snapshot, *THREE)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, role, ReplayState(9, 0))
        connection.commit()
    before = database.read_bytes()
    with pytest.raises(ConfigurationError, match="name another file"):
        copy(database, snapshot)
    assert database.read_bytes() == before


def test_texts_that_are_encoded_otherwise_are_named(database: Path, snapshot: Path) -> None:
    run_sql(database, "CREATE TABLE mine (a)")
    make_snapshot(snapshot, *THREE, encoding="UTF-16be")
    with pytest.raises(ConfigurationError, match=r"in UTF-8, the master's snapshot in UTF-16be"):
        copy(database, snapshot)


def test_a_position_that_cannot_be_stored_is_refused(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE)
    with pytest.raises(PositionTooLarge):
        SqliteTarget(database, "s").copy_snapshot(snapshot, (), 2**63)
    assert not database.exists()


def test_a_database_that_another_program_keeps_locked(
    database: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 0.0)
    make_snapshot(snapshot, *THREE)
    run_sql(database, "PRAGMA journal_mode = WAL", "CREATE TABLE mine (a)")
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineFailed, match="locked"):
            copy(database, snapshot)
        other.execute("ROLLBACK")
    copy(database, snapshot)


def test_a_disk_that_is_full_leaves_nothing(
    database: Path, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_snapshot(snapshot, "CREATE TABLE a (x, y)", _FILL.format("a", 2000, 200), "CREATE INDEX i ON a (y)")
    for pages in (8, 30, 130, 250):

        def prepare(connection: apsw.Connection, pages: int = pages) -> None:
            prepare_applying(connection)
            connection.execute(f"PRAGMA max_page_count = {pages}")

        monkeypatch.setattr(sqlite_target, "prepare_applying", prepare)
        with pytest.raises(EngineFailed, match="full"):
            copy(database, snapshot)
        assert objects(database) == []
    monkeypatch.undo()
    copy(database, snapshot)
    assert rows(database, "SELECT count(*) FROM a") == [(2000,)]


# -- snapshots that cannot be used ----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"SPGENV01\x03rest", b"SPGDB001rest", b"", b"anything else at all"])
def test_other_snapshots_are_refused_with_advice(database: Path, snapshot: Path, content: bytes) -> None:
    snapshot.write_bytes(content)
    target = SqliteTarget(database, "s")
    if not content.startswith(b"SPG"):
        with pytest.raises(SnapshotError, match="--no-copy-data"):
            target.check_snapshot_head(content[:16])
    with pytest.raises(SnapshotError, match="--no-copy-data"):
        target.copy_snapshot(snapshot, (), 900)
    assert not database.exists()


def test_a_damaged_snapshot_is_refused(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE)
    content = bytearray(snapshot.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    snapshot.write_bytes(content)
    with pytest.raises(SnapshotError, match="damaged"):
        copy(database, snapshot)
    assert not database.exists()


def test_a_catalogue_that_cannot_be_read_is_named(database: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE, control=PUBLICATIONS)
    run_sql(snapshot, "UPDATE spgrepl_publications SET tables = '{'")
    with pytest.raises(SnapshotError, match="publication 'but_a'"):
        copy(database, snapshot, "only_a")


def test_rows_that_their_own_table_forbids_are_named(database: Path, snapshot: Path) -> None:
    make_snapshot(
        snapshot,
        "CREATE TABLE t (a CHECK (a > 0))",
        "PRAGMA ignore_check_constraints = ON",
        "INSERT INTO t VALUES (-1)",
    )
    with pytest.raises(SnapshotError, match=r"damaged|published table t .* CHECK constraint failed"):
        copy(database, snapshot)
    assert not database.exists() or objects(database) == []


# -- crashes --------------------------------------------------------------------------------------------------

_CHILD = """
import os, signal, sys
import apsw
from pathlib import Path
from spgrepl.engines.targets.sqlite_target import SqliteTarget

class Dying(apsw.Connection):
    left = {steps}

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        if self.left:
            self.set_progress_handler(self.step, 100, id="dying")

    def step(self):
        Dying.left -= 1
        if Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

apsw.Connection = Dying
target = SqliteTarget(Path(sys.argv[1]), "s")
target.open()
target.copy_snapshot(Path(sys.argv[2]), (), 900)
"""

# Not `getrusage`: its peak begins with that of the process that started this one.
_PEAK = r"""
import re
print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def _run_child(code: str, database: Path, snapshot: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, database, snapshot], capture_output=True, text=True)


@pytest.mark.parametrize("steps", [1, 15, 100, 600, 1500, 3000, 4500])
def test_a_crash_anywhere_leaves_nothing(database: Path, snapshot: Path, steps: int) -> None:
    make_snapshot(
        snapshot,
        "CREATE TABLE a (x, y)",
        _FILL.format("a", 9000, 200),
        "CREATE INDEX i ON a (y)",
        "CREATE TABLE b (x INTEGER PRIMARY KEY, y UNIQUE)",
        _FILL.format("b", 9000, 200),
    )
    run_sql(database, "PRAGMA journal_mode = WAL", "CREATE TABLE mine (a)", "INSERT INTO mine VALUES (1)")
    died = _run_child(_CHILD.format(steps=steps), database, snapshot)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert objects(database) == ["mine"]
    assert stored(database) is None
    copy(database, snapshot)
    assert rows(database, "SELECT * FROM mine") == [(1,)]
    for table in "ab":
        query = f"SELECT rowid, * FROM {table} ORDER BY rowid"
        assert rows(database, query) == rows(snapshot, query)
    assert os.listdir(database.parent).count("target.db-journal") == 0


_BETWEEN_STATEMENTS = """
import os, signal, sys
import apsw
from pathlib import Path
from spgrepl.engines.targets.sqlite_target import SqliteTarget

class Dying(apsw.Connection):
    left = 0

    def execute(self, *arguments, **more):
        Dying.left -= 1
        if Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*arguments, **more)

apsw.Connection = Dying
for count in range(1, 1000):
    child = os.fork()
    if child == 0:
        Dying.left = count
        target = SqliteTarget(Path(sys.argv[1]) / f"{count}.db", "s")
        target.open()
        target.copy_snapshot(Path(sys.argv[2]), (), 900)
        target.close()
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(count)
"""


def test_a_crash_between_any_two_statements_leaves_nothing_or_all(tmp_path: Path, snapshot: Path) -> None:
    make_snapshot(snapshot, *THREE, "CREATE INDEX i ON a (x)", *KINDS["autoincrement"])
    run = _run_child(_BETWEEN_STATEMENTS, tmp_path, snapshot)
    assert run.returncode == 0, run.stderr
    count = int(run.stdout)
    assert count > 30
    outcomes = []
    for number in range(1, count + 1):
        path = tmp_path / f"{number}.db"
        begun = path.exists() and stored(path) is not None
        assert (objects(path) if path.exists() else []) == (["Mixed Case", "a", "c", "i", "t"] if begun else [])
        if begun:
            assert rows(path, "SELECT * FROM sqlite_sequence") == [("t", 500)]
        outcomes.append(begun)
    assert outcomes == sorted(outcomes)
    assert outcomes[-1]


def test_letters_beyond_ascii_make_another_table(database: Path, snapshot: Path) -> None:
    make_snapshot(
        snapshot,
        'CREATE TABLE "Ä" (x)',
        'CREATE TABLE "ä" (x)',
        'INSERT INTO "Ä" VALUES (1)',
        'INSERT INTO "ä" VALUES (2)',
        control=('CREATE PUBLICATION p FOR TABLE "ä"',),
    )
    copy(database, snapshot, "p")
    assert objects(database) == ["ä"]
    assert rows(database, 'SELECT x FROM "ä"') == [(2,)]

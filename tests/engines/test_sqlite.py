"""The `sqlite` engine: what a log says is what the database holds, or the statement is refused by name."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from spgrepl.engines import sqlite_applier
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import EngineFailed, LocalFilesDamaged, SnapshotError, StatementRefused
from spgrepl.interfaces.engine import Fence, IEngine, ReplayState
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.sqlite.script import joined_script
from tests import sql as sqlite3
from tests.replica.following.copies import database_bytes, quick_folder

TABLES = (
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)",
    "CREATE TABLE u (a, b)",
    "INSERT INTO u VALUES (1, 'one'), (2, 'two')",
)


@contextlib.contextmanager
def engine_with(folder: Path, *statements: str) -> Iterator[SqliteEngine]:
    """An engine whose database holds some tables."""
    snapshot = folder / "snapshot"
    snapshot.write_bytes(database_bytes(folder, *statements))
    engine = SqliteEngine(folder / "copy.db")
    assert engine.open() is None
    engine.install_snapshot(snapshot, ReplayState(0, 0))
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SqliteEngine]:
    with engine_with(tmp_path, *TABLES) as made:
        yield made


def run(engine: SqliteEngine, *statements: str, kind: RecordType = RecordType.SQL) -> None:
    """Apply statements in a transaction of their own."""
    types = {} if kind is RecordType.SQL else dict.fromkeys(range(len(statements)), kind)
    engine.begin()
    try:
        engine.execute([statement.encode() for statement in statements], types)
        engine.commit(ReplayState(7, 0))
    finally:
        engine.rollback()


def content(engine: SqliteEngine, sql: str = "SELECT * FROM t ORDER BY 1") -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(engine._database)) as connection:
        return connection.execute(sql).fetchall()


def dump(engine: SqliteEngine) -> list[str]:
    with contextlib.closing(sqlite3.connect(engine._database)) as connection:
        return list(connection.iterdump())


def test_it_is_an_engine(engine: SqliteEngine) -> None:
    assert verifyObject(IEngine, engine)


# -- one script or one by one ---------------------------------------------------------------------------------

_NASTY = [
    "INSERT INTO u VALUES (3, 'a;b')",
    "INSERT INTO u VALUES (3, 'it''s')",
    "INSERT INTO u VALUES (3, 'open",
    "INSERT INTO u VALUES (3, 'a') -- and so on",
    "INSERT INTO u VALUES (4, '--')",
    "INSERT INTO u VALUES (4, '/*')",
    "INSERT INTO u VALUES (4, 'x') /* open",
    "INSERT INTO u VALUES (4, '*/')",
    "INSERT INTO u VALUES (5, ?)",
    "INSERT INTO u VALUES (5, :b)",
    "INSERT INTO u VALUES (5, '12:30 ?')",
    'INSERT INTO u VALUES (6, "b")',
    'INSERT INTO "u" VALUES (6, 7)',
    'INSERT INTO "u VALUES (6, 7)',
    "INSERT INTO [u] VALUES (6, [a])",
    "INSERT INTO `u` VALUES (6, 7)",
    "INSERT INTO u VALUES (7, 'x'); INSERT INTO u VALUES (8, 'y')",
    "INSERT INTO u VALUES (7, 'x');",
    "INSERT INTO t VALUES (1, 'same')",
    "INSERT OR ROLLBACK INTO t VALUES (1, 'same')",
    "INSERT OR FAIL INTO t VALUES (9, 'kept'), (1, 'a'), (1, 'b')",
    "INSERT INTO t SELECT a, b FROM u WHERE a < 3",
    "INSERT INTO u VALUES (8, 'r') RETURNING a",
    "UPDATE u SET b = b || 'x'",
    "DELETE FROM u -- all",
    "WHERE a = 1",
    "DELETE FROM u WHERE a = 1",
    "CREATE TRIGGER g AFTER INSERT ON u BEGIN DELETE FROM t; UPDATE t SET b = 'g'; END",
    "CREATE TRIGGER h AFTER INSERT ON u BEGIN DELETE FROM t",
    "DROP TRIGGER IF EXISTS g",
    "CREATE TABLE IF NOT EXISTS v (a DEFAULT ';', b CHECK (b <> 'END;'))",
    "INSERT INTO v (b) VALUES ('v')",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "SELECT 1",
    "UNION SELECT 2",
    "",
    "-- nothing",
    ";",
    "\ufeffINSERT INTO u VALUES (9, 'mark')",
    "PRAGMA recursive_triggers = ON",
    "ATTACH 'elsewhere.db' AS e",
    "VACUUM",
    "INSERT INTO u VALUES (1, '\0')",
    "INSERT INTO u VALUES (1::int, 'cast')",
    "INSERT INTO missing VALUES (1)",
]
_pieces = (
    st.lists(
        st.sampled_from(
            ["INSERT INTO u VALUES (1, ", "'", '"', "--", "/*", "*/", ";", ")", "\n", "x", "?", "[", "]", "END"]
        ),
        max_size=8,
    )
    .map(" ".join)
    .filter(
        # Replay keeps these to itself.
        lambda text: statement_kind(text.encode()) not in (StatementKind.BEGIN, StatementKind.COMMIT)
    )
)
_nasty_lists = st.lists(
    st.one_of(st.sampled_from(_NASTY), st.sampled_from(_NASTY), _pieces), min_size=2, max_size=6
)


def outcome(statements: list[str], folder: Path) -> tuple[object, list[str]]:
    """What becomes of statements: where and why one was refused, and what the database holds then."""
    with engine_with(folder, *TABLES) as engine:
        refused: object = None
        try:
            run(engine, *statements)
        except StatementRefused as error:
            refused = error.index, error.reason
        return refused, dump(engine)


@settings(max_examples=150)
@given(statements=_nasty_lists)
@example(statements=["INSERT INTO u VALUES (3, 'a')", "INSERT INTO u VALUES (5, ?)"])
@example(statements=["DELETE FROM u -- all", "WHERE a = 1"])
@example(statements=["INSERT INTO u VALUES (3, 'open", "INSERT INTO u VALUES (3, 'a')"])
@example(statements=["INSERT INTO u VALUES (4, 'x') /* open", "INSERT INTO u VALUES (4, '*/')"])
def test_a_script_does_what_the_statements_do_one_by_one(statements: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch, quick_folder() as folder:
        together = outcome(statements, folder)
        (folder / "copy.db").unlink()
        patch.setattr(sqlite_applier, "joined_script", lambda _: None)
        assert outcome(statements, folder) == together


def test_common_statements_go_in_one_script() -> None:
    assert joined_script([b"INSERT INTO t VALUES (1, 'it''s 12:30?')", b"DELETE FROM t WHERE a = 1"]) is not None
    assert joined_script([b'INSERT INTO "t" VALUES (1)', b"DELETE FROM t -- all\nWHERE a = 1"]) is not None
    assert joined_script([b"DELETE FROM t", b"DELETE FROM t -- whose end would swallow the semicolon"]) is None
    assert joined_script([b"CREATE TRIGGER g AFTER INSERT ON u BEGIN DELETE FROM t; END", b"DELETE FROM t"])


def test_a_script_leaves_the_text_of_the_schema_as_it_stands(engine: SqliteEngine) -> None:
    texts = ["CREATE TABLE s (a)", "CREATE INDEX i ON s (a)", "CREATE VIEW v AS SELECT a FROM s"]
    run(engine, *texts)
    query = "SELECT sql FROM sqlite_master WHERE name IN ('s', 'i', 'v') ORDER BY rowid"
    assert [sql for (sql,) in engine._opened().connection.execute(query)] == texts


def test_a_failing_script_is_undone_before_the_statements_are_taken_singly(engine: SqliteEngine) -> None:
    with pytest.raises(StatementRefused) as caught:
        run(
            engine,
            "INSERT INTO t VALUES (1, 'a')",
            "INSERT INTO t VALUES (2, 'b')",
            "INSERT INTO t VALUES (1, 'c')",
        )
    assert (caught.value.index, caught.value.sql) == (2, b"INSERT INTO t VALUES (1, 'c')")
    assert "UNIQUE constraint failed" in caught.value.reason
    assert content(engine) == []


def test_a_statement_that_is_no_text_is_refused(engine: SqliteEngine) -> None:
    engine.begin()
    with pytest.raises(StatementRefused) as caught:
        engine.execute([b"DELETE FROM u", b"INSERT INTO u VALUES ('\xff')"])
    assert caught.value.index == 1
    engine.rollback()
    assert content(engine, "SELECT count(*) FROM u") == [(2,)]


# -- one record of several statements -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "rows"),
    [
        ("INSERT INTO t VALUES (1, 'a;b'); INSERT INTO t VALUES (2, 'c')", [(1, "a;b"), (2, "c")]),
        ("BEGIN; INSERT INTO t VALUES (1, 'a'); COMMIT", [(1, "a")]),
        ("BEGIN; INSERT INTO t VALUES (1, 'a'); ROLLBACK; INSERT INTO t VALUES (2, 'b')", [(2, "b")]),
        ("INSERT INTO t VALUES (1, 'a');", [(1, "a")]),
        ("-- nothing\n;", []),
        ("CREATE PUBLICATION p; INSERT INTO t VALUES (1, 'a'); DROP PUBLICATION p;", [(1, "a")]),
    ],
)
def test_a_record_may_hold_several_statements(
    engine: SqliteEngine, record: str, rows: list[tuple[object, ...]]
) -> None:
    run(engine, record)
    assert content(engine) == rows


def test_of_several_statements_of_a_record_all_or_none_take_effect(engine: SqliteEngine) -> None:
    engine.begin()
    with pytest.raises(StatementRefused) as caught:
        engine.execute([b"DELETE FROM u", b"INSERT INTO t VALUES (1, 'a'); INSERT INTO missing VALUES (2)"])
    assert caught.value.index == 1
    engine.rollback()
    assert content(engine, "SELECT count(*) FROM u") == [(2,)]


def test_a_control_statement_that_cannot_be_read_names_its_record(engine: SqliteEngine) -> None:
    engine.begin()
    with pytest.raises(StatementRefused, match="CREATE PUBLICATION p") as caught:
        engine.execute([b"DELETE FROM u", b"DELETE FROM t; CREATE PUBLICATION p FOR EVERYTHING"])
    assert (caught.value.index, caught.value.sql[:13]) == (1, b"DELETE FROM t")


# -- other dialects -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("INSERT INTO t VALUES ('1'::int, 'a')", (1, "a")),
        ("INSERT INTO t (a, b) VALUES (1, E'tab\\there')", None),
        ("INSERT INTO public.t VALUES (1, 'a')", (1, "a")),
        ("INSERT INTO public.t VALUES (1, 'public.t')", (1, "public.t")),
        ("INSERT INTO \"public\".t VALUES ('1'::int, 'a') ON CONFLICT (a) DO NOTHING", (1, "a")),
        ("INSERT INTO public.t AS public VALUES ('1'::int, 'a')", (1, "a")),
        ("INSERT INTO t VALUES (1, 'a'); UPDATE ONLY public.t SET b = 'c' WHERE public.t.a = 1", (1, "c")),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b'); DELETE FROM ONLY t WHERE a = 2", (1, "a")),
        ("MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED THEN INSERT VALUES (u.a, u.b)", None),
        ("INSERT INTO private.t VALUES (1, 'a')", None),
        ("INSERT INTO t VALUES (1, 'x') ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b", (1, "x")),
        ("INSERT INTO t SELECT 1, b FROM u WHERE b ILIKE 'ON%'", (1, "one")),
    ],
)
def test_what_only_postgresql_speaks_is_translated_or_refused(
    engine: SqliteEngine, statement: str, row: tuple[object, ...] | None
) -> None:
    if row is None:
        with pytest.raises(StatementRefused):
            run(engine, statement)
    else:
        run(engine, statement)
        assert content(engine) == [row]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO t VALUES (1, NOW())",
        "INSERT INTO t VALUES (1, NOW()::text)",
        "INSERT INTO public.t VALUES (1, CURRENT_TIMESTAMP)",
        "INSERT INTO t VALUES ('1'::int, CURRENT_TIMESTAMP)",
        "INSERT INTO t VALUES ((RANDOM() * 10)::int, 'a')",
        "CREATE TABLE v (a INT, at TIMESTAMP DEFAULT NOW())",
    ],
)
def test_a_translation_never_brings_in_what_differs_from_machine_to_machine(
    engine: SqliteEngine, statement: str
) -> None:
    with pytest.raises(StatementRefused, match="another value here"):
        run(engine, statement)
    assert content(engine) == []


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (r"INSERT INTO `t` VALUES (1, 'it\'s')", "it's"),
        (r"INSERT INTO t VALUES (1, 'a\\b')", "a\\b"),
        (r"INSERT INTO t VALUES (1, 'x\'); COMMIT; --')", "x'); COMMIT; --"),
        ('INSERT INTO t VALUES (1, "say ""hi""")', 'say "hi"'),
        ("INSERT INTO t VALUES (1, 'two''s')", "two's"),
        ("REPLACE INTO t VALUES (1, 'r')", "r"),
        ("INSERT INTO public.`t` VALUES (1, 'p')", "p"),
    ],
)
def test_the_mysql_dialect(engine: SqliteEngine, statement: str, text: str) -> None:
    run(engine, statement, kind=RecordType.MYSQL)
    assert content(engine) == [(1, text)]


@pytest.mark.parametrize(
    "statement", ["INSERT INTO t VALUES (1, 'open", "INSERT INTO t VALUES (1, NOW())", "GRUMBLE"]
)
def test_mysql_that_cannot_be_translated_is_refused(engine: SqliteEngine, statement: str) -> None:
    with pytest.raises(StatementRefused):
        run(engine, statement, kind=RecordType.MYSQL)


# -- what no log may do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM spgrepl_replay",
        'UPDATE "SPGREPL_replay" SET position = 0',
        "INSERT INTO 'spgrepl_replay' SELECT * FROM u",
        "DROP TABLE main.[spgrepl_replay]",
        "CREATE TABLE spgrepl_mine (a)",
        "SAVEPOINT spgrepl_inner",
        "INSERT INTO t VALUES (1, 'a'); DELETE FROM spgrepl_publications",
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM spgrepl_replay; END",
        "PRAGMA writable_schema = ON",
        "/* */ pragma query_only = 1",
        "ATTACH '/tmp/elsewhere.db' AS e",
        "\ufeffPRAGMA query_only = 1",
        "VACUUM INTO '/tmp/elsewhere.db'",
        "DELETE FROM public.spgrepl_replay",
        "UPDATE ONLY spgrepl_replay SET position = 0",
    ],
)
def test_what_a_hostile_log_may_not_do(engine: SqliteEngine, statement: str) -> None:
    before = dump(engine)
    for others in ([], ["INSERT INTO t VALUES (5, 'five')"]):
        with pytest.raises(StatementRefused) as caught:
            run(engine, *others, statement)
        assert caught.value.index == len(others)
        assert dump(engine) == before
    run(engine, "INSERT INTO t VALUES (1, 'and goes on')")


def test_many_statements_with_the_schema_in_front_do_what_those_without_do(engine: SqliteEngine) -> None:
    run(
        engine,
        "INSERT INTO public.t VALUES (1, 'a')",
        "UPDATE public.t SET b = 'public.t'",
        "DELETE FROM public.u",
    )
    assert content(engine) == [(1, "public.t")]
    with pytest.raises(StatementRefused, match="UNIQUE") as caught:
        run(engine, "INSERT INTO public.t VALUES (2, 'b')", "INSERT INTO public.t VALUES (1, 'c')")
    assert (caught.value.index, caught.value.sql) == (1, b"INSERT INTO public.t VALUES (1, 'c')")
    with pytest.raises(StatementRefused, match="belongs to spgrepl"):
        run(engine, "DELETE FROM public.t", "DELETE FROM public.spgrepl_replay")
    assert content(engine) == [(1, "public.t")]


def test_a_table_that_is_there_already_is_refused_by_a_follower(engine: SqliteEngine) -> None:
    with pytest.raises(StatementRefused, match="already exists"):
        run(engine, "CREATE TABLE t (a); INSERT INTO t VALUES (1, 'a')")
    run(
        engine, "CREATE TABLE IF NOT EXISTS t (a SERIAL PRIMARY KEY, b VARCHAR(7)); CREATE INDEX i ON public.t (a)"
    )


@pytest.mark.parametrize("text", ["spgrepl_replay", "see spgrepl_replay", "PRAGMA", "\ufeffmark"])
def test_text_that_only_mentions_such_things_is_kept(engine: SqliteEngine, text: str) -> None:
    run(engine, f"INSERT INTO t VALUES (1, '{text}')", f"UPDATE t SET b = '{text}' WHERE b = '{text}'")
    assert content(engine) == [(1, text)]


# -- transactions and failures --------------------------------------------------------------------------------


def test_rows_and_state_are_committed_together(tmp_path: Path, engine: SqliteEngine) -> None:
    engine.begin()
    engine.execute([b"INSERT INTO t VALUES (1, 'a')"])
    assert content(engine) == []
    engine.commit(ReplayState(50, 0, Fence(10, 99)))
    assert content(engine, "SELECT role, position, base, fence_start, fence_crc FROM spgrepl_replay") == [
        ("follower", 50, 0, 10, 99)
    ]
    engine.close()
    again = SqliteEngine(tmp_path / "copy.db")
    assert again.open() == ReplayState(50, 0, Fence(10, 99))
    again.close()


def test_a_commit_without_statements_moves_the_position(tmp_path: Path, engine: SqliteEngine) -> None:
    engine.begin()
    engine.commit(ReplayState(60, 0))
    engine.close()
    again = SqliteEngine(tmp_path / "copy.db")
    assert again.open() == ReplayState(60, 0)
    again.close()


def test_statements_are_counted_when_they_are_committed(engine: SqliteEngine) -> None:
    engine.begin()
    engine.execute([b"DELETE FROM t", b"DELETE FROM u"])
    engine.rollback()
    assert engine.statistics() == {"statements": 0, "attached": 0, "rows": {}}
    run(engine, "DELETE FROM t", "DELETE FROM u")
    run(engine, "DELETE FROM t")
    assert engine.statistics() == {"statements": 3, "attached": 0, "rows": {}}


def test_a_database_that_another_program_keeps_locked(engine: SqliteEngine) -> None:
    engine._opened().connection.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(engine._database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for statements in (["DELETE FROM t"], ["DELETE FROM t", "DELETE FROM u"], []):
            with pytest.raises(EngineFailed, match="locked"):
                run(engine, *statements)
        other.execute("ROLLBACK")
    run(engine, "INSERT INTO t VALUES (1, 'a')")


def test_a_locked_database_is_not_called_damaged_when_it_is_opened(
    engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the copy that a user is told to move away where it is."""
    engine.close()
    monkeypatch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 0.0)
    with contextlib.closing(sqlite3.connect(engine._database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("ROLLBACK")
        with pytest.raises(EngineFailed, match=f"another program keeps {engine._database} locked"):
            engine.open()
    assert engine.open() is not None


def test_the_settings_that_statements_depend_on(engine: SqliteEngine) -> None:
    connection = engine._opened().connection
    for name, value in (
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("foreign_keys", 0),
        ("recursive_triggers", 0),
    ):
        assert connection.execute(f"PRAGMA {name}").fetchone() == (value,), name


def test_a_primarys_database_is_not_followed_into(tmp_path: Path, engine: SqliteEngine) -> None:
    engine._opened().connection.execute("UPDATE spgrepl_replay SET role = 'primary'")
    engine.close()
    with pytest.raises(LocalFilesDamaged, match="primary's database"):
        SqliteEngine(tmp_path / "copy.db").open()


def test_an_empty_file_is_no_copy_yet(tmp_path: Path) -> None:
    (tmp_path / "copy.db").touch()
    with engine_with(tmp_path, *TABLES) as engine:
        assert content(engine, "SELECT count(*) FROM u") == [(2,)]


def test_without_a_copy_nothing_can_be_applied(tmp_path: Path) -> None:
    engine = SqliteEngine(tmp_path / "copy.db")
    assert engine.open() is None
    engine.begin()
    with pytest.raises(LocalFilesDamaged, match="no snapshot"):
        engine.execute([b"DELETE FROM t"])
    with pytest.raises(SnapshotError, match="holds no copy yet"):
        engine.save_snapshot(tmp_path / "saved")
    engine.rollback()
    engine.close()


# -- snapshots ------------------------------------------------------------------------------------------------


def test_a_snapshot_is_saved_while_the_engine_goes_on(tmp_path: Path, engine: SqliteEngine) -> None:
    engine.begin()
    engine.execute([b"INSERT INTO t VALUES (1, 'a')"])
    engine.commit(ReplayState(500, 400))
    engine.begin()
    engine.execute([b"INSERT INTO t VALUES (2, 'not committed')"])
    saved: list[int] = []
    thread = threading.Thread(target=lambda: saved.append(engine.save_snapshot(tmp_path / "saved")))
    thread.start()
    thread.join()
    assert saved == [100]
    with contextlib.closing(sqlite3.connect(tmp_path / "saved")) as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [(1, "a")]
    engine.commit(ReplayState(600, 400))
    other = SqliteEngine(tmp_path / "other.db")
    other.check_snapshot(tmp_path / "saved")
    other.install_snapshot(tmp_path / "saved", ReplayState(100, 100))
    assert content(other) == [(1, "a")]
    other.close()


def test_a_sound_snapshot_that_the_quick_check_misjudges_is_taken(tmp_path: Path) -> None:
    table = "CREATE TABLE w (b, a, PRIMARY KEY (a, b)) WITHOUT ROWID"
    (tmp_path / "odd").write_bytes(database_bytes(tmp_path, table, "INSERT INTO w VALUES (2, 1)"))
    SqliteEngine(tmp_path / "copy.db").check_snapshot(tmp_path / "odd")


@pytest.mark.parametrize("name", ["copy.db-wal", "copy.db-journal"])
def test_what_a_removed_database_has_left_is_kept(tmp_path: Path, name: str) -> None:
    """It may hold changes; SQLite would take it for the next database's own, or delete it."""
    (tmp_path / name).write_bytes(b"left")
    with pytest.raises(LocalFilesDamaged, match=rf"{name} is there without its database"):
        SqliteEngine(tmp_path / "copy.db").open()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"left"]


def test_an_index_that_a_removed_database_has_left_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "copy.db-shm").write_bytes(b"left" * 9000)
    with engine_with(tmp_path, *TABLES) as engine:
        assert engine.open() is not None


def test_a_database_without_a_state_is_not_handed_on(tmp_path: Path, engine: SqliteEngine) -> None:
    engine._opened().connection.execute("DELETE FROM spgrepl_replay")
    with pytest.raises(SnapshotError, match="no replication state"):
        engine.save_snapshot(tmp_path / "saved")

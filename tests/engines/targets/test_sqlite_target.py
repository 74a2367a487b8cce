"""The `sqlite` target: records and position in one transaction, beside whatever else the database holds."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher
from zope.interface.verify import verifyObject

from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    EngineFailed,
    LocalFilesDamaged,
    PositionTooLarge,
    StatementRefused,
)
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import FenceRecord, ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType
from spgrepl.sqlite import state as sqlite_state
from tests import sql as sqlite3
from tests.replica.following.copies import quick_folder
from tests.replica.subscribing.targets import STATE, objects, rows, run_sql

TABLES = ("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", "CREATE TABLE u (a, b)")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "target.db"


@pytest.fixture
def target(database: Path) -> Iterator[SqliteTarget]:
    """A target whose subscription has begun, in a database with some tables."""
    run_sql(database, *TABLES)
    made = SqliteTarget(database, "s")
    assert made.open() is None
    made.start(STATE)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The texts of what is logged as a warning."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_level"].name == "warn":
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)


def run(target: SqliteTarget, *statements: str, position: int = 200, kind: RecordType | None = None) -> None:
    """Apply records in a transaction of their own."""
    types = {} if kind is None else dict.fromkeys(range(len(statements)), kind)
    target.begin()
    try:
        target.execute([statement.encode() for statement in statements], types)
        target.commit(attrs.evolve(STATE, position=position))
    finally:
        target.rollback()


def stored(database: Path) -> SubscriptionState | None:
    """The state as the next process finds it."""
    return SqliteTarget(database, "s").open()


# -- opening and beginning ------------------------------------------------------------------------------------


def test_it_is_a_target(database: Path) -> None:
    assert verifyObject(ITarget, SqliteTarget(database, "s"))


def test_opening_changes_nothing(database: Path, tmp_path: Path) -> None:
    assert SqliteTarget(database, "s").open() is None
    assert list(tmp_path.iterdir()) == []
    run_sql(database, *TABLES)
    before = database.read_bytes()
    assert SqliteTarget(database, "s").open() is None
    assert database.read_bytes() == before
    assert list(tmp_path.iterdir()) == [database]


def test_the_state_is_there_from_the_start_on(database: Path) -> None:
    target = SqliteTarget(database, "s")
    assert target.open() is None
    target.start(STATE)
    assert stored(database) == STATE
    target.close()
    assert stored(database) == STATE
    assert rows(database, "PRAGMA journal_mode") == [("wal",)]


_records = st.lists(st.builds(FenceRecord, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)), max_size=3).map(
    tuple
)
_states = st.builds(
    SubscriptionState,
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=3).map(tuple),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
    _records,
    marks=_records,
)


@given(first=_states, second=_states)
def test_a_state_is_read_as_it_was_written(first: SubscriptionState, second: SubscriptionState) -> None:
    with quick_folder() as folder:
        target = SqliteTarget(folder / "target.db", "s")
        target.start(first)
        assert stored(folder / "target.db") == first
        target.begin()
        target.commit(second)
        target.close()
        assert stored(folder / "target.db") == second


@pytest.mark.parametrize("position", [2**63, 2**64 - 1])
def test_a_position_that_sqlite_cannot_store_is_refused(
    target: SqliteTarget, database: Path, position: int
) -> None:
    with pytest.raises(PositionTooLarge, match=str(position)):
        run(target, "INSERT INTO t VALUES (1, 'a')", position=position)
    with pytest.raises(PositionTooLarge):
        target.start(SubscriptionState((), position, position))
    with pytest.raises(PositionTooLarge):
        target.keep_skipped(position, b"", b"", "")
    target.rollback()
    assert stored(database) == STATE
    assert rows(database, "SELECT * FROM t") == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("fence", "'[[1]]'"),
        ("fence", "'7'"),
        ("publications", "'{}'"),
        ("publications", "'[1]'"),
        ("position", "'x'"),
    ],
)
def test_a_row_that_was_tampered_with_is_named(
    target: SqliteTarget, database: Path, column: str, value: str
) -> None:
    run_sql(database, f"UPDATE spgrepl_subscriber SET {column} = {value}")
    with pytest.raises(LocalFilesDamaged, match="subscription 's'"):
        stored(database)


def test_a_transaction_that_power_took_is_undone(database: Path) -> None:
    """The state is read all the same, though reading alone may not undo it."""
    run_sql(database, "CREATE TABLE t (a)", "PRAGMA journal_mode = DELETE")
    before = database.read_bytes()
    journal = database.with_name(database.name + "-journal")
    magic, pages = bytes.fromhex("d9d505f920a163d7"), len(before) // 4096
    journal.write_bytes((magic + struct.pack(">5I", 0, 1, pages, 512, 4096)).ljust(512, b"\0"))
    database.write_bytes(before + bytes(4096))
    assert stored(database) is None
    assert (database.read_bytes(), journal.exists()) == (before, False)


def test_what_is_no_database_is_named(database: Path) -> None:
    database.write_bytes(b"something else entirely" * 100)
    target = SqliteTarget(database, "s")
    with pytest.raises(LocalFilesDamaged, match="cannot be used as a SQLite database"):
        target.open()
    with pytest.raises(EngineFailed, match="not a database"):
        target.start(STATE)
    assert database.read_bytes() == b"something else entirely" * 100


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    target = SqliteTarget(tmp_path / "nowhere" / "target.db", "s")
    assert target.open() is None
    with pytest.raises(ConfigurationError, match="is not a folder"):
        target.start(STATE)


@pytest.mark.parametrize(
    ("role", "what"), [("primary", "a primary's database"), ("follower", "a follower's copy")]
)
def test_rows_that_are_somebody_elses_are_left_alone(database: Path, role: str, what: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, role, ReplayState(9, 0))
        connection.commit()
    before = database.read_bytes()
    target = SqliteTarget(database, "s")
    for call in (target.open, lambda: target.start(STATE)) * 2:
        with pytest.raises(ConfigurationError, match=f"{what}.*name another file"):
            call()
    assert database.read_bytes() == before


def test_a_target_that_became_a_primarys_is_noticed(target: SqliteTarget, database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        sqlite_state.ensure_table(connection)
        sqlite_state.write_state(connection, "primary", ReplayState(9, 0))
        connection.commit()
    with pytest.raises(ConfigurationError, match="a primary's database"):
        stored(database)
    with pytest.raises(ConfigurationError, match="a primary's database"):
        target.start(STATE)


# -- transactions ---------------------------------------------------------------------------------------------


def test_rows_and_state_are_committed_together(target: SqliteTarget, database: Path) -> None:
    later = SubscriptionState(("p", "q"), 40, 300, (FenceRecord(250, 9),))
    target.begin()
    target.execute([b"INSERT INTO t VALUES (1, 'a')", b"INSERT INTO u VALUES (1, 2)"])
    assert rows(database, "SELECT * FROM t") == []
    assert stored(database) == STATE
    target.commit(later)
    assert rows(database, "SELECT * FROM t") == [(1, "a")]
    assert stored(database) == later
    assert {**target.statistics(), "statements": 2, "skipped": 0} == target.statistics()


def test_what_is_rolled_back_leaves_nothing(target: SqliteTarget, database: Path) -> None:
    for statements in ([b"INSERT INTO t VALUES (1, 'a')"], [b"INSERT INTO t VALUES (1, 'a')", b"DELETE FROM u"]):
        target.begin()
        target.execute(statements)
        target.keep_skipped(50, b"r", b"s", "why")
        target.rollback()
    assert rows(database, "SELECT * FROM t") == []
    assert rows(database, "SELECT * FROM spgrepl_skipped") == []
    assert stored(database) == STATE
    assert {**target.statistics(), "statements": 0, "skipped": 0} == target.statistics()


def test_a_commit_without_records_moves_the_position(target: SqliteTarget, database: Path) -> None:
    run(target, position=700)
    assert stored(database) == attrs.evolve(STATE, position=700)


def test_it_goes_on_in_another_process(target: SqliteTarget, database: Path) -> None:
    run(target, "INSERT INTO t VALUES (1, 'a')")
    target.close()
    again = SqliteTarget(database, "s")
    assert again.open() == attrs.evolve(STATE, position=200)
    run(again, "INSERT INTO t VALUES (2, 'b')", position=300)
    again.close()
    assert rows(database, "SELECT a FROM t") == [(1,), (2,)]


def test_closing_rolls_back(target: SqliteTarget, database: Path) -> None:
    target.begin()
    target.execute([b"INSERT INTO t VALUES (1, 'a')"])
    target.close()
    target.close()
    assert rows(database, "SELECT * FROM t") == []


def test_several_subscriptions_live_in_one_database(target: SqliteTarget, database: Path) -> None:
    other = SqliteTarget(database, "other")
    assert other.open() is None
    other.start(SubscriptionState((), 5, 5))
    run(target, "INSERT INTO t VALUES (1, 'a')")
    run(other, "INSERT INTO u VALUES (1, 'b')", position=6)
    run(target, "INSERT INTO t VALUES (2, 'a')", position=201)
    for each in (target, other):
        each.begin()
        each.keep_skipped(8, b"r", b"s", "why")
        each.commit(SubscriptionState((), 5, 900))
    other.close()
    assert rows(database, "SELECT name, position FROM spgrepl_subscriber ORDER BY 1") == [
        ("other", 900),
        ("s", 900),
    ]
    assert rows(database, "SELECT subscription FROM spgrepl_skipped ORDER BY 1") == [("other",), ("s",)]


def test_a_second_process_on_one_subscription_is_noticed(target: SqliteTarget, database: Path) -> None:
    other = SqliteTarget(database, "s")
    other.open()
    run(target, "INSERT INTO t VALUES (1, 'a')")
    with pytest.raises(DatabaseLocked, match="let one process do that"):
        run(other, "INSERT INTO t VALUES (2, 'twice')")
    other.close()
    assert rows(database, "SELECT a FROM t") == [(1,)]
    run_sql(database, "DELETE FROM spgrepl_subscriber")
    with pytest.raises(DatabaseLocked, match="it was dropped"):
        run(target, "INSERT INTO t VALUES (2, 'b')")
    assert rows(database, "SELECT a FROM t") == [(1,)]


def test_what_has_not_begun_cannot_be_committed(database: Path) -> None:
    target = SqliteTarget(database, "s")
    with pytest.raises(DatabaseLocked):
        run(target)
    target.close()
    assert objects(database) == []


def test_a_database_that_another_program_keeps_locked(
    database: Path, target: SqliteTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.close()
    monkeypatch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 0.0)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for statements in (["DELETE FROM t"], ["DELETE FROM t", "DELETE FROM u"], []):
            with pytest.raises(EngineFailed, match="locked"):
                run(target, *statements)
        with pytest.raises(EngineFailed, match="locked"):
            SqliteTarget(database, "another").start(STATE)
        other.execute("ROLLBACK")
    run(target, "INSERT INTO t VALUES (1, 'a')")


def test_a_locked_database_is_not_called_damaged_when_it_is_opened(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 0.0)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("ROLLBACK")
        with pytest.raises(EngineFailed, match=f"another program keeps {database} locked"):
            SqliteTarget(database, "another").open()


def test_other_programs_read_and_write_meanwhile(target: SqliteTarget, database: Path) -> None:
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE mine (a)")
        other.execute("INSERT INTO mine VALUES (1)")
        target.begin()
        target.execute([b"INSERT INTO t VALUES (1, 'a')"])
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
        target.commit(attrs.evolve(STATE, position=200))
        other.execute("INSERT INTO mine SELECT a FROM t")
        run(target, "DELETE FROM t")
    assert rows(database, "SELECT * FROM mine") == [(1,), (1,)]


def test_the_settings_that_statements_depend_on(target: SqliteTarget) -> None:
    run(target)
    assert target._applier is not None
    for name, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 0)):
        assert target._applier.connection.execute(f"PRAGMA {name}").fetchone() == (value,), name


# -- records --------------------------------------------------------------------------------------------------


def test_the_record_at_fault_is_named(target: SqliteTarget, database: Path) -> None:
    target.begin()
    with pytest.raises(StatementRefused, match="UNIQUE") as caught:
        target.execute([b"INSERT INTO t VALUES (1, 'a')", b"INSERT INTO t VALUES (1, 'b')", b"DELETE FROM t"])
    assert (caught.value.index, caught.value.sql) == (1, b"INSERT INTO t VALUES (1, 'b')")
    target.rollback()
    assert rows(database, "SELECT * FROM t") == []


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ("INSERT INTO t VALUES (1, 'a')", None),
        ("INSERT INTO public.t VALUES (1, 'a')", None),
        ("BEGIN; INSERT INTO t VALUES (1, 'a'); COMMIT", None),
        ("INSERT INTO t VALUES (1, 'b'); UPDATE ONLY t SET b = 'a'", RecordType.TRANSACTION),
        ("INSERT INTO `t` VALUES (1, 'a')", RecordType.MYSQL),
        ("CREATE PUBLICATION p; INSERT INTO t VALUES (1, 'a'); DROP SUBSCRIPTION s", None),
    ],
)
def test_every_kind_of_record_is_applied(
    target: SqliteTarget, database: Path, record: str, kind: RecordType | None
) -> None:
    run(target, record, kind=kind)
    assert rows(database, "SELECT * FROM t") == [(1, "a")]


def test_what_a_master_publishes_is_not_noted_here(target: SqliteTarget, database: Path) -> None:
    run(target, "INSERT INTO t VALUES (1, 'a'); CREATE PUBLICATION p; CREATE PUBLICATION q FOR TABLE t")
    names = rows(
        database, "SELECT name FROM sqlite_master WHERE name LIKE 'spgrepl%' AND type = 'table' ORDER BY 1"
    )
    assert names == [("spgrepl_skipped",), ("spgrepl_subscriber",)]


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "commit;",
        "-- the end\nCOMMIT",
        ";COMMIT",
        "END TRANSACTION",
        "BEGIN",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "ROLLBACK TO s",
        "INSERT INTO t VALUES (2, 'b'); COMMIT",
        "COMMIT; INSERT INTO t VALUES (2, 'b')",
        "INSERT OR ROLLBACK INTO t VALUES (9, 'taken')",
        "DELETE FROM spgrepl_subscriber",
        "UPDATE public.spgrepl_subscriber SET position = 0",
        "CREATE TABLE spgrepl_skipped (a)",
        "PRAGMA writable_schema = ON",
        "ATTACH '/tmp/elsewhere.db' AS e",
        "VACUUM",
        "GRUMBLE",
        "INSERT INTO missing VALUES (1)",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
    ],
)
def test_what_no_master_may_send(target: SqliteTarget, database: Path, statement: str) -> None:
    run_sql(database, "INSERT INTO t VALUES (9, 'there')")
    for others in (
        [],
        ["INSERT INTO t VALUES (5, 'five')"],
        ["INSERT INTO t VALUES (5, 'five')", "DELETE FROM u"],
    ):
        with pytest.raises(StatementRefused) as caught:
            run(target, *others, statement, "INSERT INTO t VALUES (6, 'six')")
        assert caught.value.index == len(others)
        assert rows(database, "SELECT a FROM t") == [(9,)]
        assert stored(database) == STATE
    run(target, "INSERT INTO t VALUES (1, 'and goes on')")


def test_a_record_that_is_no_text_is_refused(target: SqliteTarget) -> None:
    target.begin()
    with pytest.raises(StatementRefused) as caught:
        target.execute([b"DELETE FROM t", b"INSERT INTO t VALUES (1, '\xff')"])
    assert caught.value.index == 1
    target.rollback()


def test_what_is_made_a_second_time_is_tolerated_and_warned_of_once(
    target: SqliteTarget, database: Path, warnings: list[str]
) -> None:
    again = "CREATE TABLE t (other); CREATE TABLE IF NOT EXISTS t (id SERIAL); INSERT INTO t VALUES ({}, 'a')"
    run(target, again.format(1))
    run(target, "DELETE FROM u", again.format(2), kind=RecordType.TRANSACTION)
    run(target, "CREATE TABLE t (a)", "CREATE TABLE new (a); CREATE INDEX i ON new (a)", "CREATE INDEX i ON u (a)")
    assert rows(database, "SELECT * FROM t") == [(1, "a"), (2, "a")]
    assert objects(database) == ["i", "new", "t", "u"]
    assert warnings == [
        f"in {database}, the table t is there already: it is not made a second time",
        f"in {database}, the index i is there already: it is not made a second time",
    ]


def test_other_refusals_beside_a_duplicate_stay_refusals(target: SqliteTarget, database: Path) -> None:
    with pytest.raises(StatementRefused, match="missing"):
        run(target, "CREATE TABLE t (a); INSERT INTO t VALUES (1, 'a'); INSERT INTO missing VALUES (1)")
    with pytest.raises(StatementRefused):
        run(target, "CREATE VIEW t AS SELECT 1")
    assert rows(database, "SELECT * FROM t") == []


# -- skipped --------------------------------------------------------------------------------------------------


def test_a_skipped_record_is_kept_whole(target: SqliteTarget, database: Path) -> None:
    before = datetime.now(UTC)
    target.begin()
    target.execute([b"INSERT INTO t VALUES (1, 'a')"])
    target.keep_skipped(123, b"\x80head\xff\0tail", b"INSERT \xff INTO missing", "no such table: missing")
    target.execute([b"INSERT INTO t VALUES (2, 'b')"])
    target.commit(attrs.evolve(STATE, position=150))
    ((name, position, crc, record, sql, reason, at),) = rows(database, "SELECT * FROM spgrepl_skipped")
    assert (name, position, crc, record) == ("s", 123, crc32(b"\x80head\xff\0tail"), b"\x80head\xff\0tail")
    assert (sql, reason) == ("INSERT \ufffd INTO missing", "no such table: missing")
    assert before <= datetime.fromisoformat(str(at)) <= before + timedelta(minutes=5)
    assert rows(database, "SELECT a FROM t") == [(1,), (2,)]
    assert {**target.statistics(), "statements": 2, "skipped": 1} == target.statistics()


def test_a_record_may_be_skipped_first(target: SqliteTarget, database: Path) -> None:
    target.begin()
    target.keep_skipped(123, b"r", b"s", "why")
    target.execute([b"INSERT INTO t VALUES (1, 'a')", b"INSERT INTO t VALUES (2, 'b')"])
    target.commit(attrs.evolve(STATE, position=150))
    assert rows(database, "SELECT count(*) FROM spgrepl_skipped") == [(1,)]
    assert rows(database, "SELECT a FROM t") == [(1,), (2,)]

"""Replay: whatever comes, in whatever pieces, the copy holds exactly what the log says up to its position."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.disk.files import DatabasePaths, own_name
from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import (
    ConfigurationError,
    DatabaseLocked,
    EngineFailed,
    LocalFilesDamaged,
    RecordChecksumMismatch,
    ReplayStopped,
    ServiceStopped,
    SnapshotError,
)
from spgrepl.log.format import records
from spgrepl.log.format.records import RecordType
from spgrepl.log.reader import Damage, scan_log
from spgrepl.log.writer import LogWriter
from spgrepl.replica.following import replay as replay_module
from spgrepl.replica.following.progress import MAX_POSITION, SkipRequest
from spgrepl.replica.following.replay import SYNC_BESIDE_FROM
from tests import sql as sqlite3
from tests.conftest import LoggedFailures
from tests.replica.following.copies import (
    CREATE,
    Copy,
    batch_of,
    borders,
    database_bytes,
    log_of,
    logs,
    opened,
    quick_folder,
    reference,
)

INSERT = "INSERT INTO t VALUES ({}, 'row')"


@pytest.fixture
def snapshot(tmp_path: Path) -> bytes:
    return database_bytes(tmp_path, CREATE.decode())


@pytest.fixture
def copy(tmp_path: Path, snapshot: bytes) -> Iterator[Copy]:
    """An open copy whose snapshot, with an empty table ``t``, stands at 100."""
    with opened(tmp_path) as made:
        made.install(snapshot, 100)
        yield made


# -- the whole promise ----------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    log=logs,
    steps=st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=6),
    base=st.sampled_from([0, 5000]),
)
def test_any_log_cut_anywhere_with_restarts_gives_what_sqlite_gives(
    log: bytes, steps: list[tuple[int, bool]], base: int
) -> None:
    with quick_folder() as folder:
        snapshot = database_bytes(folder, CREATE.decode())
        places = borders(log, base)
        copy = Copy(folder).open()
        copy.install(snapshot, base)
        at = base
        for place, restart in [
            *sorted((place % (len(log) + 1), restart) for place, restart in steps),
            (-1, False),
        ]:
            if restart:
                copy.close()
                copy = Copy(folder).open()
                at = copy.resume(b"\0" * base + log)
            stop = base + (place if place >= 0 else len(log))
            if stop > at:
                progress = copy.replay.apply([log[at - base : stop - base]])
                at = stop
                assert (
                    progress.applied == copy.stored_position() == max(p for p in places if p <= progress.durable)
                )
                assert copy.rows() == reference(log[: progress.applied - base], snapshot)
                assert copy.paths.wal.read_bytes() == log[: progress.durable - base]
        assert copy.stored_position() == places[-1]
        assert copy.rows() == reference(log, snapshot)
        copy.close()
        assert scan_log(copy.paths.wal).damage is Damage.NONE


@settings(max_examples=100)
@given(log=logs, places=st.lists(st.integers(0, 2000), max_size=6))
def test_an_engine_without_rows_gets_each_sql_once_in_order(log: bytes, places: list[int]) -> None:
    seen: list[bytes] = []

    class Witness(CountingEngine):
        def execute(self, statements: Any, types: Any) -> None:
            seen.extend(statements)
            super().execute(statements, types)

    with quick_folder() as folder, opened(folder, Witness) as copy:
        copy.install(b"", 0)
        marks = [0, *sorted(place % (len(log) + 1) for place in places), len(log)]
        for start, stop in itertools.pairwise(marks):
            copy.replay.apply([log[start:stop]])
    assert seen == [record.sql for record in batch_of(log) if record.sql is not None]


def test_every_type_of_record_is_applied(copy: Copy) -> None:
    """PROTOCOL section 7, item 3: no type stops a follower."""
    timed = records.encode_timed
    log = b"".join(
        [
            records.encode_v1(b"INSERT INTO t VALUES (1, 'v1')"),
            records.encode_v2(b"INSERT INTO t VALUES (2, 'v2')"),
            records.encode_v3(RecordType.SQL, b"INSERT INTO t VALUES (3, 'v3')"),
            records.encode_checkpoint(0),
            records.encode_statement(b"INSERT INTO t VALUES (4, '" + b"compressed " * 40 + b"')"),
            records.encode_mysql(b"INSERT INTO `t` VALUES (5, 'it\\'s \\\\ MySQL')"),
            records.encode_mysql(b"INSERT INTO `t` VALUES (6, 'compressed')", compressed=True),
            timed(RecordType.TIMED, 1, 1, b"INSERT INTO t VALUES (7, 'timed')"),
            records.encode_anchor(1, 1, b"seg"),
            timed(RecordType.TRANSACTION, 1, None, b"INSERT INTO t VALUES (8, 'a;b');\nDELETE FROM t WHERE a = 1"),
        ]
    )
    progress = copy.replay.apply([log])
    assert progress.applied == 100 + len(log)
    rows = copy.rows("SELECT a, b FROM t")
    assert [number for number, _ in rows] == [2, 3, 4, 5, 6, 7, 8]
    assert rows[3] == (5, "it's \\ MySQL")
    assert rows[-1] == (8, "a;b")


# -- crashes --------------------------------------------------------------------------------------------------


def test_a_crash_behind_the_commit_applies_nothing_twice(
    tmp_path: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PROTOCOL section 7, item 1: the sidecar is only a copy, and may be older than the rows."""
    log = log_of(INSERT.format(1), INSERT.format(2))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replay_module, "write_applied_position", die)
        with pytest.raises(KeyboardInterrupt):
            copy.replay.apply([log])
    assert copy.paths.applied_position.read_bytes() == (100).to_bytes(8, "little")
    copy.close()
    with opened(tmp_path) as again:
        assert again.resume(b"\0" * 100 + log) == 100 + len(log)
        assert [row[1] for row in again.rows()] == [1, 2]


def test_a_crash_before_the_commit_loses_nothing(
    tmp_path: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(INSERT.format(1))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SqliteEngine, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            copy.replay.apply([log])
    copy.close()
    assert copy.paths.wal.read_bytes() == log
    with opened(tmp_path) as again:
        assert again.resume(b"\0" * 100 + log) == 100
        assert again.paths.wal.read_bytes() == b""
        again.replay.apply([log])
        assert [row[1] for row in again.rows()] == [1]


def test_the_local_log_holds_whole_records_only(tmp_path: Path, copy: Copy) -> None:
    """PROTOCOL section 7, item 2: a stream that breaks in mid-record leaves no part of it."""
    log = log_of(INSERT.format(1), INSERT.format(2))
    first = len(log) // 2
    progress = copy.replay.apply([log[: first + 20]])
    assert progress.durable == progress.applied == 100 + first
    assert copy.paths.wal.read_bytes() == log[:first]
    at = copy.resume(b"\0" * 100 + log)
    copy.replay.apply([log[at - 100 :]])
    assert copy.paths.wal.read_bytes() == log


def test_a_commit_waits_until_the_log_is_durable(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, commit = LogWriter.sync, SqliteEngine.commit

    def noted_sync(writer: LogWriter) -> None:
        sync(writer)
        order.append("sync")

    def noted_commit(engine: SqliteEngine, state: Any) -> None:
        order.append("commit")
        commit(engine, state)

    monkeypatch.setattr(LogWriter, "sync", noted_sync)
    monkeypatch.setattr(SqliteEngine, "commit", noted_commit)
    copy.replay.apply([log_of(INSERT.format(1))])
    copy.replay.apply([log_of(*[INSERT.format(2)] * (SYNC_BESIDE_FROM // 30))])
    assert order == ["sync", "commit"] * 2


@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_nothing_is_committed_where_the_log_could_not_be_made_durable(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    def fail(_: LogWriter) -> None:
        raise OSError(5, "Input/output error")

    copy.replay.apply([log_of("BEGIN", INSERT.format(1))])
    position = copy.stored_position()
    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, "sync", fail)
        with pytest.raises(EngineFailed, match="Input/output error"):
            copy.replay.apply([log_of(*[INSERT.format(2)] * (SYNC_BESIDE_FROM // 20), end)])
    assert (copy.stored_position(), copy.rows()) == (position, [])


class ForgetfulDisk:
    """A disk to which nothing is written again after a flush of it has failed, as Linux does it.

    Args:
        path: The file that is looked at.

    Attributes:
        content: What is on the disk.
        failing: So many of the next flushes fail.
    """

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.content = bytearray(path.read_bytes())
        self.failing = 0
        self._inode = path.stat().st_ino
        self._dirty: list[tuple[int, bytes]] = []
        self._write, self._truncate = os.pwrite, os.ftruncate
        self._flushes = {"fsync": os.fsync, "fdatasync": os.fdatasync}
        monkeypatch.setattr(os, "pwrite", self.pwrite)
        monkeypatch.setattr(os, "ftruncate", self.ftruncate)
        for name in self._flushes:
            monkeypatch.setattr(os, name, partial(self.flush, name))

    def _is_it(self, handle: int) -> bool:
        return os.fstat(handle).st_ino == self._inode

    def pwrite(self, handle: int, data: bytes, at: int) -> int:
        if self._is_it(handle):
            self._dirty.append((at, bytes(data)))
        return self._write(handle, data, at)

    def ftruncate(self, handle: int, length: int) -> None:
        if self._is_it(handle):
            self._dirty = [(at, data[: max(0, length - at)]) for at, data in self._dirty]
            del self.content[length:]
        self._truncate(handle, length)

    def flush(self, name: str, handle: int) -> None:
        if self._is_it(handle):
            dirty, self._dirty = self._dirty, []
            if self.failing:
                self.failing -= 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            for at, data in dirty:
                self.content.extend(bytes(max(0, at + len(data) - len(self.content))))
                self.content[at : at + len(data)] = data
        self._flushes[name](handle)


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("rows", [1, SYNC_BESIDE_FROM // 20])
def test_what_is_applied_is_in_the_log_on_the_disk_after_flushes_that_failed(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, failing: int, rows: int
) -> None:
    """The kernel holds the bytes of a flush that failed for clean: they have to be written again."""
    copy.replay.apply([log_of("BEGIN", INSERT.format(1))])
    disk = ForgetfulDisk(copy.paths.wal, monkeypatch)
    disk.failing = failing
    stream = log_of("BEGIN", INSERT.format(1), *[INSERT.format(2)] * rows, "COMMIT", INSERT.format(3))

    def again() -> None:
        copy.replay.resume()
        copy.replay.apply([stream])

    for _ in range(failing):
        with pytest.raises(EngineFailed, match="Input/output error"):
            again()
    again()
    applied = copy.stored_position() - 100
    assert applied == len(stream)
    assert disk.content[:applied] == copy.paths.wal.read_bytes()[:applied] == stream
    assert len(copy.rows()) == rows + 2


def test_a_failing_sync_is_not_forgotten_where_a_record_is_refused_too(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: LogWriter) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(LogWriter, "sync", fail)
    with pytest.raises(EngineFailed, match="Input/output error"):
        copy.replay.apply(
            [log_of(*[INSERT.format(2)] * (SYNC_BESIDE_FROM // 20), "INSERT INTO missing VALUES (1)")]
        )
    assert (copy.stored_position(), copy.rows()) == (100, [])


# -- transactions ---------------------------------------------------------------------------------------------


def test_a_transaction_is_never_half_visible(copy: Copy) -> None:
    begin, insert, commit = log_of("BEGIN"), log_of(INSERT.format(1)), log_of("COMMIT")
    copy.replay.apply([begin + insert])
    assert (copy.rows(), copy.stored_position()) == ([], 100)
    copy.replay.apply([insert])
    assert copy.rows() == []
    copy.replay.apply([commit])
    assert len(copy.rows()) == 2
    assert copy.stored_position() == 100 + len(begin + insert + insert + commit)


def test_a_rolled_back_transaction_moves_the_position_alone(copy: Copy) -> None:
    log = log_of("BEGIN", INSERT.format(1))
    copy.replay.apply([log])
    end = log_of("ROLLBACK", INSERT.format(2))
    progress = copy.replay.apply([end])
    assert progress.applied == 100 + len(log + end)
    assert [row[1] for row in copy.rows()] == [2]


@pytest.mark.parametrize("commit", ["COMMIT", "\ufeffCOMMIT", "/* so */ end;", "-- now\ncommit transaction"])
def test_however_a_commit_is_written_rows_and_position_go_together(copy: Copy, commit: str) -> None:
    log = log_of("BEGIN", INSERT.format(1), commit)
    copy.replay.apply([log])
    assert (len(copy.rows()), copy.stored_position()) == (1, 100 + len(log))
    with pytest.raises(ReplayStopped):
        copy.replay.apply([log_of("BEGIN", INSERT.format(2), f"INSERT INTO missing VALUES (1); {commit}")])
    assert (len(copy.rows()), copy.stored_position()) == (1, 100 + len(log))


def test_a_connection_that_ends_inside_a_transaction_undoes_it(copy: Copy) -> None:
    log = log_of("BEGIN", INSERT.format(1), "COMMIT")
    copy.replay.apply([log[:-12]])
    assert copy.replay.resume() is not None
    assert copy.paths.wal.read_bytes() == b""
    copy.replay.apply([log])
    assert [row[1] for row in copy.rows()] == [1]


# -- refused records ------------------------------------------------------------------------------------------


def refused_log() -> tuple[bytes, int, int]:
    """A log whose third of four records is refused, with that record's position after 100 and its CRC."""
    log = log_of(INSERT.format(1), INSERT.format(2), "INSERT INTO missing VALUES (3)", INSERT.format(4))
    record = batch_of(log, 100).record(2)
    return log, record.position, record.crc


def test_what_stands_before_a_refused_record_is_kept(copy: Copy) -> None:
    log, position, crc = refused_log()
    with pytest.raises(ReplayStopped, match="no such table: missing") as caught:
        copy.replay.apply([log])
    error = caught.value
    assert (error.position, error.crc, error.sql) == (position, crc, "INSERT INTO missing VALUES (3)")
    assert f"--skip-at {position} --skip-crc {crc:08x}" in str(error)
    assert [row[1] for row in copy.rows()] == [1, 2]
    assert copy.stored_position() == position
    # It is the same each time that it is tried again.
    at = copy.resume(b"\0" * 100 + log)
    with pytest.raises(ReplayStopped) as caught:
        copy.replay.apply([log[at - 100 :]])
    assert caught.value.position == position


def test_an_operator_may_pass_over_exactly_one_record(tmp_path: Path, copy: Copy) -> None:
    log, position, crc = refused_log()
    with pytest.raises(ReplayStopped):
        copy.replay.apply([log])
    copy.close()
    for wrong in (SkipRequest(position, crc ^ 1), SkipRequest(position + 1, crc), SkipRequest(100, crc)):
        with opened(tmp_path, skip=wrong) as again:
            at = again.resume(b"\0" * 100 + log)
            with pytest.raises(ReplayStopped):
                again.replay.apply([log[at - 100 :]])
            assert again.replay.execution.left_out == 0
    with opened(tmp_path, skip=SkipRequest(position, crc)) as again:
        at = again.resume(b"\0" * 100 + log)
        again.replay.apply([log[at - 100 :]])
        assert [row[1] for row in again.rows()] == [1, 2, 4]
        assert again.paths.wal.read_bytes() == log
        # The same text further on is another record.
        with pytest.raises(ReplayStopped):
            again.replay.apply([log_of("INSERT INTO missing VALUES (3)")])


def test_a_record_refused_inside_a_transaction_refuses_all_of_it(copy: Copy) -> None:
    log = log_of(INSERT.format(1), "BEGIN", INSERT.format(2), "DELETE FROM missing", "COMMIT")
    with pytest.raises(ReplayStopped) as caught:
        copy.replay.apply([log])
    assert caught.value.sql == "DELETE FROM missing"
    assert [row[1] for row in copy.rows()] == [1]
    assert copy.stored_position() == 100 + len(log_of(INSERT.format(1)))


def test_a_record_refused_in_a_transaction_of_an_earlier_batch(copy: Copy) -> None:
    copy.replay.apply([log_of("BEGIN", INSERT.format(1))])
    with pytest.raises(ReplayStopped):
        copy.replay.apply([log_of("DELETE FROM missing", "COMMIT")])
    assert (copy.rows(), copy.stored_position()) == ([], 100)


def test_a_transaction_of_an_earlier_batch_is_kept_when_a_later_record_is_refused(copy: Copy) -> None:
    first = log_of("BEGIN", INSERT.format(1))
    copy.replay.apply([first])
    with pytest.raises(ReplayStopped):
        copy.replay.apply([log_of("COMMIT", "DELETE FROM missing")])
    assert [row[1] for row in copy.rows()] == [1]
    assert copy.stored_position() == 100 + len(first + log_of("COMMIT"))


@pytest.mark.parametrize(
    "later", ["INSERT INTO missing VALUES (1)", "COMMIT; INSERT INTO t VALUES (9, 'x')", "ALTER PUBLICATION p"]
)
@pytest.mark.parametrize("earlier", ["ALTER PUBLICATION p", "INSERT INTO missing VALUES (2)"])
def test_the_first_of_several_refused_records_is_named(copy: Copy, earlier: str, later: str) -> None:
    log = log_of(INSERT.format(1), earlier, INSERT.format(2), later)
    with pytest.raises(ReplayStopped) as caught:
        copy.replay.apply([log])
    assert caught.value.sql == earlier
    assert [row[1] for row in copy.rows()] == [1]


def test_a_broken_record_keeps_what_stands_before(copy: Copy) -> None:
    good, bad = log_of(INSERT.format(1)), bytearray(log_of(INSERT.format(2)))
    bad[-1] ^= 1
    with pytest.raises(RecordChecksumMismatch) as caught:
        copy.replay.apply([good + bad])
    assert caught.value.position == 100 + len(good)
    assert copy.stored_position() == 100 + len(good)
    assert copy.paths.wal.read_bytes() == good


def test_control_statements_take_effect_in_their_order(copy: Copy) -> None:
    copy.replay.apply(
        [
            log_of(
                "CREATE PUBLICATION p FOR TABLE t",
                "BEGIN",
                "SAVEPOINT s",
                "CREATE PUBLICATION undone",
                "ROLLBACK TO s",
                "CREATE PUBLICATION kept",
                "COMMIT",
                "BEGIN",
                "DROP PUBLICATION p",
                "ROLLBACK",
                "SET effective_wal_level = 'logical'",
                "DROP PUBLICATION IF EXISTS never_there",
            )
        ]
    )
    assert copy.rows("SELECT name FROM spgrepl_publications ORDER BY 1") == [("kept",), ("p",)]


# -- the disk -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let the kernel refuse to make any file longer; the interpreter ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 3000, 40_000, 150_000])
def test_a_full_disk_leaves_everything_whole(tmp_path: Path, copy: Copy, room: int) -> None:
    before = log_of(*(INSERT.format(number) for number in range(100)))
    log = before + log_of(*(INSERT.format(number) for number in range(100, 6000)))
    copy.replay.apply([before])
    expected = copy.rows()
    longest = max(path.stat().st_size for path in tmp_path.iterdir())
    with files_no_longer_than(longest + room), pytest.raises(EngineFailed):
        copy.replay.apply([log[len(before) :]])
    assert (copy.stored_position(), copy.rows()) == (100 + len(before), expected)
    copy.close()
    with opened(tmp_path) as again:
        at = again.resume(b"\0" * 100 + log)
        again.replay.apply([log[at - 100 :]])
        assert len(again.rows()) == 6000
        assert again.paths.wal.read_bytes() == log


@pytest.mark.parametrize("kind", [SqliteEngine, ArchiveEngine])
def test_a_disk_too_small_for_a_snapshot_leaves_the_old_copy(
    tmp_path: Path, snapshot: bytes, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ", ".join(f"({number}, 'new')" for number in range(20_000))
    larger = database_bytes(tmp_path, CREATE.decode(), f"INSERT INTO t VALUES {rows}")
    log = log_of(INSERT.format(1))
    with opened(tmp_path, kind) as copy:
        copy.install(snapshot, 100)
        copy.replay.apply([log])
        copy.replay.snapshot_path.write_bytes(larger)
        if kind is ArchiveEngine:
            monkeypatch.setattr(os, "rename", refuse_once(os.rename, copy.replay.snapshot_path.name))
            with pytest.raises(EngineFailed):
                copy.replay.install(len(larger), 700)
        else:
            with files_no_longer_than(len(larger) // 2), pytest.raises(EngineFailed):
                copy.replay.install(len(larger), 700)
        assert not copy.replay.snapshot_path.exists()
        assert copy.resume(b"\0" * 100 + log) == 100 + len(log)
        assert copy.paths.wal.read_bytes() == log
    with opened(tmp_path, kind) as copy:
        assert copy.resume(b"\0" * 100 + log) == 100 + len(log)
        if kind is SqliteEngine:
            assert [row[1] for row in copy.rows()] == [1]
        else:
            assert copy.paths.database.read_bytes() == snapshot


def refuse_once(real: Callable[..., None], name: str) -> Callable[..., None]:
    """A call that fails when its first path has a name, as on a disk without room."""

    def call(path: Path, *rest: object) -> None:
        if Path(path).name == name:
            raise OSError(28, "No space left on device", str(path))
        real(path, *rest)

    return call


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.*No such file or directory"):
        Copy(tmp_path / "nowhere").open()


# -- opening --------------------------------------------------------------------------------------------------


def test_a_second_follower_of_the_same_files_is_refused(tmp_path: Path, copy: Copy) -> None:
    with pytest.raises(DatabaseLocked, match="follower"):
        Copy(tmp_path).open()
    copy.replay.apply([log_of(INSERT.format(1))])


@pytest.mark.parametrize(
    "damage",
    [lambda log: log[:-1], lambda log: b"", lambda log: log[:-3] + b"abc", lambda log: b"\0" * len(log)],
    ids=["short", "empty", "other bytes", "zeros"],
)
def test_a_log_that_is_not_the_copys_own_is_refused_and_left(
    tmp_path: Path, copy: Copy, damage: Callable[[bytes], bytes]
) -> None:
    copy.replay.apply([log_of(*(INSERT.format(number) for number in range(20)))])
    copy.close()
    damaged = damage(copy.paths.wal.read_bytes())
    copy.paths.wal.write_bytes(damaged)
    with pytest.raises(LocalFilesDamaged, match="fresh snapshot"):
        Copy(tmp_path).open()
    assert copy.paths.wal.read_bytes() == damaged


def test_a_log_without_a_copy_is_never_written_over(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "copy.db")
    paths.wal.write_bytes(log_of("CREATE TABLE somebody_elses (a)"))
    with pytest.raises(LocalFilesDamaged, match=r"its database .*copy\.db is missing"):
        Copy(tmp_path).open()
    assert paths.wal.read_bytes() == log_of("CREATE TABLE somebody_elses (a)")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"no database at all " * 100),
        lambda path: sqlite3.connect(path).execute("CREATE TABLE mine (a)").connection.close(),
    ],
    ids=["garbage", "another program's"],
)
def test_another_programs_database_is_left_as_it_is(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "copy.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(LocalFilesDamaged):
        Copy(tmp_path).open()
    assert path.read_bytes() == before
    assert not path.with_name("copy.db-wal").exists()


def test_leftovers_of_a_bootstrap_are_removed_and_nothing_else(tmp_path: Path) -> None:
    left = own_name(tmp_path / "copy.db", "incoming").name
    others = {"copy.db.incoming", "copy.db.incoming-wal", f"{left}.kept", "copy.db.0123.incoming"}
    for name in (left, f"{left}-wal", f"{left}-journal", *others):
        (tmp_path / name).write_bytes(b"x")
    with opened(tmp_path):
        assert {path.name for path in tmp_path.iterdir() if "incoming" in path.name} == others


def test_a_closed_copy_takes_nothing(copy: Copy) -> None:
    copy.close()
    copy.close()
    with pytest.raises(ServiceStopped):
        copy.replay.apply([b""])
    with pytest.raises(ServiceStopped):
        copy.replay.resume()
    with pytest.raises(ServiceStopped):
        copy.replay.install(0, 0)


# -- snapshots ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "position", "reason"),
    [
        (b"SPGENV01" + b"x" * 100, 500, r"version 120; 1 to 5 are known.*--engine archive"),
        (b"SPGDB001" + b"x" * 100, 500, "FILE_VERSION 120"),
        (b"garbage", 500, "expects a SQLite database"),
        (b"SQLite format 3\0" + b"x" * 5000, 500, "damaged"),
        (b"", 500, "empty snapshot"),
        (b"anything", MAX_POSITION + 1, "above 2"),
    ],
)
def test_a_snapshot_that_cannot_be_used_leaves_the_old_copy(
    copy: Copy, bad: bytes, position: int, reason: str
) -> None:
    log = log_of(INSERT.format(1))
    copy.replay.apply([log])
    with pytest.raises(SnapshotError, match=reason):
        copy.install(bad, position)
    assert copy.resume(b"\0" * 100 + log) == 100 + len(log)
    assert [row[1] for row in copy.rows()] == [1]
    copy.replay.apply([log_of(INSERT.format(2))])
    assert [row[1] for row in copy.rows()] == [1, 2]


def test_a_snapshot_with_a_damaged_page_is_found(tmp_path: Path, copy: Copy) -> None:
    rows = ", ".join(f"({number}, 'x')" for number in range(5000))
    damaged = bytearray(database_bytes(tmp_path, CREATE.decode(), f"INSERT INTO t VALUES {rows}"))
    damaged[4096 * 4 : 4096 * 5] = b"\xff" * 4096
    with pytest.raises(SnapshotError, match="damaged SQLite database"):
        copy.install(bytes(damaged), 500)
    assert copy.rows() == []


def test_a_snapshot_whose_own_table_is_something_else(tmp_path: Path, copy: Copy) -> None:
    hostile = database_bytes(tmp_path, "CREATE VIEW spgrepl_replay AS SELECT 1 AS id")
    with pytest.raises(SnapshotError, match="own table"):
        copy.install(hostile, 500)
    assert copy.rows() == []


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
def test_a_fresh_snapshot_replaces_all_and_keeps_row_numbers(tmp_path: Path, copy: Copy, page_size: int) -> None:
    copy.replay.apply([log_of("CREATE TABLE old (a)", INSERT.format(1))])
    fresh = database_bytes(
        tmp_path,
        CREATE.decode(),
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        "DELETE FROM t WHERE a = 2",
        page_size=page_size,
    )
    progress = copy.install(fresh, 9000)
    assert (progress.applied, progress.durable, progress.base, progress.copies) == (9000, 9000, 9000, 2)
    assert copy.rows() == [(1, 1, "a"), (3, 3, "c")]
    assert copy.rows("SELECT name FROM sqlite_master WHERE name = 'old'") == []
    assert copy.paths.wal.read_bytes() == b""
    copy.replay.apply([log_of("DELETE FROM t WHERE rowid = 3")])
    assert copy.rows() == [(1, 1, "a")]
    assert sorted(path.name for path in tmp_path.iterdir() if "incoming" in path.name) == []


def test_readers_see_the_old_and_then_the_new(tmp_path: Path, copy: Copy, snapshot: bytes) -> None:
    copy.replay.apply([log_of(INSERT.format(1))])
    with contextlib.closing(sqlite3.connect(copy.paths.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        copy.replay.apply([log_of(INSERT.format(2))])
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        copy.install(database_bytes(tmp_path, CREATE.decode(), "CREATE TABLE u (a)"), 5000)
        copy.replay.apply([log_of("INSERT INTO u VALUES (7)")])
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert reader.execute("SELECT a FROM u").fetchall() == [(7,)]


def test_a_program_that_keeps_the_copy_locked_delays_a_snapshot_no_longer_than_told(
    tmp_path: Path, copy: Copy, snapshot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 0.0)
    assert isinstance(copy.engine, SqliteEngine)
    copy.engine._opened().connection.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(copy.paths.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineFailed, match="locked"):
            copy.install(snapshot, 5000)
        other.execute("ROLLBACK")
    assert copy.stored_position() == 100
    copy.install(snapshot, 5000)
    assert copy.stored_position() == 5000


_STEPS = ("rename", "unlink", "fsync", "ftruncate")


@pytest.mark.parametrize("kind", [SqliteEngine, ArchiveEngine, CountingEngine])
@pytest.mark.parametrize("first", [True, False], ids=["first", "another"])
def test_a_crash_at_any_step_of_an_installation_leaves_the_old_copy_or_the_new(
    tmp_path: Path, kind: type, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, crashed = tmp_path / "home", tmp_path / "crashed"
    home.mkdir()
    old = database_bytes(tmp_path, CREATE.decode())
    new = database_bytes(tmp_path, CREATE.decode(), "INSERT INTO t VALUES (7, 'new')")
    log, later = log_of(INSERT.format(1)), log_of(INSERT.format(8))
    taken = 0
    with opened(home, kind) as copy:
        if not first:
            copy.install(old, 100)
            copy.replay.apply([log])

        def keep(source: str, target: str) -> None:
            # An archive knows its snapshot's file by its inode.
            linked = kind is ArchiveEngine and Path(source).suffix in (".db", ".incoming")
            (os.link if linked else shutil.copyfile)(source, target)

        def watched(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **more: Any) -> Any:
                nonlocal taken
                shutil.copytree(home, crashed / f"{taken:02}", copy_function=keep)
                taken += 1
                return real(*arguments, **more)

            return call

        with monkeypatch.context() as patch:
            for name in _STEPS:
                patch.setattr(os, name, watched(getattr(os, name)))
            copy.install(new, 700)
        shutil.copytree(home, crashed / "99", copy_function=keep)
    assert taken >= 3
    found = []
    for folder in sorted(crashed.iterdir()):
        with opened(folder, kind) as copy:
            state = copy.replay.resume()
            found.append(state and state.position)
            if state is None:
                assert first
                continue
            if state.position == 700:
                assert (state.base, copy.paths.wal.read_bytes()) == (700, b"")
            else:
                assert (state.position, copy.paths.wal.read_bytes()) == (100 + len(log), log)
            copy.replay.apply([later])
            if kind is SqliteEngine:
                assert [row[1] for row in copy.rows()] == [7 if state.position == 700 else 1, 8]
            elif kind is ArchiveEngine:
                assert copy.paths.database.read_bytes() == (new if state.position == 700 else old)
    assert found[0] in (None, 100 + len(log))
    assert found[-1] == 700
    turn = found.index(700)
    assert set(found[turn:]) == {700}


def test_a_log_that_cannot_begin_anew_is_cut_by_the_next_stream(
    tmp_path: Path, copy: Copy, snapshot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: LogWriter) -> None:
        raise OSError(28, "No space left on device")

    copy.replay.apply([log_of(INSERT.format(1))])
    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, "replace", fail)
        with pytest.raises(EngineFailed, match="No space left"):
            copy.install(snapshot, 5000)
    assert copy.replay.progress().copies == 2
    assert copy.resume(b"") == 5000
    assert copy.paths.wal.read_bytes() == b""


def test_an_empty_snapshot_at_the_start_is_an_empty_copy(tmp_path: Path) -> None:
    with opened(tmp_path) as copy:
        copy.install(b"", 0)
        copy.replay.apply([log_of(CREATE, INSERT.format(1))])
        assert [row[1] for row in copy.rows()] == [1]


def test_what_is_logged_is_no_failure(copy: Copy, logged_failures: LoggedFailures) -> None:
    copy.replay.apply([log_of("COMMIT", "BEGIN", "BEGIN", "ROLLBACK")])
    assert logged_failures.flush() == []

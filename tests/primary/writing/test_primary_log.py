"""A primary's log: how far it is durable, what the disk refuses, and what the next writer makes of it."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import EngineFailed, LocalFilesDamaged, OutcomeUnknown
from spgrepl.log.durable import DurableLength, durable_path, read_durable
from spgrepl.log.format.parser import RecordParser
from spgrepl.log.format.records import encode_statement, encode_v2
from spgrepl.log.reader import Damage, scan_log
from spgrepl.primary.writing.primary_log import replacement
from spgrepl.primary.writing.repair import begin_new_log
from tests.primary.copying import Writer, assert_same_on_copy, opened

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


def durable_of(writer: Writer) -> DurableLength:
    found = read_durable(writer.paths.wal)
    assert found is not None
    return found


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, *calls: str, code: int = errno.EIO) -> Iterator[None]:
    """For as long as this lasts some calls of the system fail."""

    def fail(*_arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        for call in calls:
            patch.setattr(os, call, fail)
        yield


def text(number: int, size: int = 1000) -> str:
    """Some text that does not get shorter in the log."""
    return random.Random(number).randbytes(size // 2).hex()


def abandon(writer: Writer) -> None:
    """Leave the files as a SIGKILL does."""
    writer._log._durable.leave()  # type: ignore[attr-defined]
    writer.close()


# -- what is said of it ---------------------------------------------------------------------------------------


def test_the_length_is_said_after_the_fsync_and_before_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = os.fdatasync
    with opened(tmp_path, TABLE) as writer:
        session = writer._session()
        commit = type(session).commit

        def sync(handle: int) -> None:
            real(handle)
            seen.append((durable_of(writer).length, os.fstat(handle).st_size))

        def look(_session: object) -> None:
            seen.append((durable_of(writer).length, writer.paths.wal.stat().st_size))
            commit(session)

        before = writer.position
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", sync)
            patch.setattr(type(session), "commit", look)
            after = writer.execute("INSERT INTO t VALUES (1, 1)").position
        assert seen == [(before, after), (after, after)]
        assert durable_of(writer).open
    assert read_durable(writer.paths.wal) == DurableLength(writer.paths.wal.stat().st_ino, after, open=False)


def test_nothing_is_synced_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fsync for the log; the small file needs none."""
    synced: list[str] = []
    with opened(tmp_path, TABLE) as writer:
        for call in ("fsync", "fdatasync"):
            real = getattr(os, call)
            monkeypatch.setattr(
                os,
                call,
                lambda handle, real=real: (synced.append(os.readlink(f"/proc/self/fd/{handle}")), real(handle)),
            )
        writer.execute("INSERT INTO t VALUES (1, 1)")
        assert synced == [str(writer.paths.wal)]


# -- what the disk refuses ------------------------------------------------------------------------------------


@given(st.integers(12, 200_000), st.integers(0, 2**40), st.sampled_from([100, 32 * 1024]))
@example(32 * 1024 + 1, 0, 32 * 1024)
@example(32 * 1024 + 11, 0, 32 * 1024)
@example(32 * 1024, 0, 32 * 1024)
def test_a_replacement_fills_its_place_with_comments(size: int, start: int, chunk: int) -> None:
    content = b"".join(replacement(start, start + size, chunk))
    assert len(content) == size
    parser = RecordParser(0, chunk)
    parser.feed(content)
    batch = parser.next_batch()
    assert batch is not None
    assert batch.end == size
    for sql in batch.sql:
        assert sql is not None
        assert sql[:2] == b"/*"
        assert sql.find(b"*/") == len(sql) - 2


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_what_was_refused_is_replaced_and_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The file never gets shorter, and nobody who read it takes what stands there now for what stood there."""
    with opened(tmp_path, TABLE) as writer:
        wal, start = writer.paths.wal, writer.position
        with open(wal, "rb") as tail:
            refused = b""

            def sync(_handle: int) -> None:
                nonlocal refused
                refused = wal.read_bytes()
                assert durable_of(writer).length == start
                raise OSError(code, os.strerror(code))

            with monkeypatch.context() as patch:
                patch.setattr(os, "fdatasync", sync)
                with pytest.raises(EngineFailed, match="cannot be written at present"):
                    writer.execute("INSERT INTO t VALUES (1, 'aaaa')")
            assert len(refused) > start
            replaced = wal.read_bytes()
            assert len(replaced) == len(refused)
            assert replaced[:start] == refused[:start]
            assert replaced[start:] != refused[start:]
            said = durable_of(writer)
            assert (said.length, said.refused) == (len(refused), True)
            # The same length, the same end.
            writer.execute("INSERT INTO t VALUES (2, 'aaaa')")
            tail.seek(len(refused))
            assert tail.read(200).startswith(
                encode_statement(b"/* spgrepl: the disk refused what was written last; the log goes on here")[
                    8:40
                ],
                8,
            )
        assert not durable_of(writer).refused
        assert writer.rows("SELECT * FROM t") == [(2, "aaaa")]
        assert scan_log(wal).damage is Damage.NONE
        assert_same_on_copy(writer)


def test_the_mark_comes_though_the_primary_was_closed_or_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for end in (abandon, Writer.close):
        writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
        writer.open()
        with failing(monkeypatch, "fdatasync"), pytest.raises(EngineFailed):
            writer.execute("CREATE TABLE never (a)")
        end(writer)
        with opened(
            tmp_path, "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a)", "DELETE FROM t"
        ) as writer:
            writer.execute("INSERT INTO t VALUES (1, 1)")
            marks = [sql for sql in writer.logged() if "the log goes on here" in sql]
            assert writer.rows("SELECT name FROM sqlite_master WHERE name IN ('t', 'never')") == [("t",)]
            assert_same_on_copy(writer)
    assert len(marks) == 2


def test_several_refusals_and_a_first_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the log has not said yet that it holds rows."""
    with opened(tmp_path) as writer:
        for number in range(3):
            with failing(monkeypatch, "fdatasync"), pytest.raises(EngineFailed):
                writer.execute(f"CREATE TABLE never{number} (a)")
        positions = [writer.execute(sql).position for sql in (TABLE, "INSERT INTO t VALUES (1, 1)")]
        assert positions[-1] == writer.paths.wal.stat().st_size
        mark = encode_statement(b"/* spgrepl: rows from here on */")
        content = writer.paths.wal.read_bytes()
        assert writer.rows("SELECT position FROM spgrepl_rows") == [(content.rindex(mark),)]
        assert_same_on_copy(writer)
    with opened(tmp_path) as writer:
        assert writer.rows("SELECT * FROM t") == [(1, 1)]


def test_where_nothing_can_be_replaced_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that writes everything in a new place and is full: the mark has to do."""
    with opened(tmp_path, TABLE) as writer:
        start, real = writer.position, os.pwrite

        def write(handle: int, data: bytes, at: int) -> int:
            if at >= start and bytes(data[8:10]) == b"/*":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(handle, data, at)

        with monkeypatch.context() as patch, failing(patch, "fdatasync"):
            patch.setattr(os, "pwrite", write)
            with pytest.raises(EngineFailed):
                writer.execute("INSERT INTO t VALUES (1, 1)")
        assert writer.paths.wal.stat().st_size == start
        writer.execute("INSERT INTO t VALUES (2, 2)")
        assert "the log goes on here" in writer.logged()[-2]
        assert_same_on_copy(writer)


@pytest.mark.parametrize("room", [0, 1, 11, 12, 30, 500])
def test_a_write_that_stops_half_way(tmp_path: Path, room: int) -> None:
    """A real limit: the kernel takes some bytes of the group, and no more."""
    with opened(tmp_path, TABLE, f"CREATE TABLE filling /* {'x' * 70_000} */ (a)") as writer:
        start = writer.position
        limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (start + room, limits[1]))
        try:
            with pytest.raises(EngineFailed, match="File too large"):
                writer.execute(f"INSERT INTO t VALUES (1, '{text(1)}')")
            assert writer.paths.wal.stat().st_size == (start + room if room >= 12 else start)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        writer.execute("INSERT INTO t VALUES (2, 2)")
        assert ("the log goes on here" in writer.logged()[-2]) == (room > 0)
        assert writer.rows("SELECT id FROM t") == [(2,)]
        assert_same_on_copy(writer)


def test_where_all_is_refused_the_outcome_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told of more than what was durable, until it was opened again and written again."""
    writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
    writer.open()
    start = writer.execute(TABLE).position
    with (
        failing(monkeypatch, "fdatasync", "fsync", "ftruncate"),
        pytest.raises(OutcomeUnknown, match="not be taken back"),
    ):
        writer.execute("INSERT INTO t VALUES (1, 1)")
    writer.close()
    said = durable_of(writer)
    assert (said.length, said.open, said.refused) == (start, True, True)
    written: list[tuple[int, int]] = []
    real = os.pwrite

    def write(handle: int, data: bytes, at: int) -> int:
        if os.fstat(handle).st_ino == said.inode:
            written.append((at, len(data)))
        return real(handle, data, at)

    # The kernel may take the pages of the failed fsync for clean: they are written once more, and then fsynced.
    length = writer.paths.wal.stat().st_size
    monkeypatch.setattr(os, "pwrite", write)
    with opened(tmp_path) as writer:
        assert written == [(start, length - start)]
        assert durable_of(writer).length == writer.paths.wal.stat().st_size
        assert_same_on_copy(writer)


# -- the next writer ------------------------------------------------------------------------------------------


def test_what_survived_a_kill_is_made_durable_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
    writer.open()
    start = writer.execute(TABLE).position
    abandon(writer)
    wal = writer.paths.wal
    with open(wal, "ab") as log:
        log.write(encode_statement(b"INSERT INTO t(id,a)VALUES(1,1)") + encode_v2(b"BEGIN"))
    said: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda handle: (said.append(durable_of(writer).length), real(handle)))
    with opened(tmp_path) as again:
        assert set(said) == {start}
        assert durable_of(again).length == wal.stat().st_size
        assert again.rows("SELECT * FROM t") == [(1, 1)]


def _group_with_a_hole(hole: bytes) -> bytes:
    """A group of three pages, one of which never arrived; what follows it did."""
    rows = b"".join(
        encode_v2(b"INSERT INTO t(id,a)VALUES(%d,'%s')" % (number, b"a" * 1000)) for number in range(1, 13)
    )
    group = encode_v2(b"BEGIN") + rows + encode_v2(b"COMMIT")
    return group[:5000] + hole + group[5000 + len(hole) :]


@pytest.mark.parametrize("hole", [bytes(4096), b"something else, as a failing disk leaves it" * 40])
def test_power_lost_inside_a_group_of_several_pages(tmp_path: Path, hole: bytes) -> None:
    """What was never acknowledged is cut there, and kept, though whole records follow."""
    writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
    writer.open()
    writer.execute(TABLE)
    start = writer.execute("INSERT INTO t VALUES (99, 'kept')").position
    abandon(writer)
    group = _group_with_a_hole(hole)
    with open(writer.paths.wal, "ab") as log:
        log.write(group)
    assert scan_log(writer.paths.wal).damage is Damage.BROKEN
    with opened(tmp_path, "INSERT INTO t VALUES (100, 'after')") as again:
        assert again.rows("SELECT id FROM t") == [(99,), (100,)]
        (kept,) = tmp_path.glob("primary.wal.cut-*")
        cut = int(kept.name.rsplit("-", 1)[1])
        assert start < cut < start + 5000
        assert kept.read_bytes() == group[cut - start :]
        assert_same_on_copy(again)


@pytest.mark.parametrize("ending", ["killed", "killed before the last start", "closed"])
def test_damage_in_what_was_acknowledged_is_named(tmp_path: Path, ending: str) -> None:
    """It is not cut, be it a page of zeros: the disk had it."""
    writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
    writer.open()
    writer.execute(TABLE)
    older = writer.paths.database.with_name("older.db")
    writer.rows(f"VACUUM INTO '{older}'")
    for number in range(20):
        writer.execute(f"INSERT INTO t VALUES ({number}, '{text(number)}')")
    (writer.close if ending == "closed" else lambda: abandon(writer))()
    wal = writer.paths.wal
    if ending == "killed before the last start":
        said = durable_of(writer)
        content = DurableLength(said.inode, said.length, open=True, boot=b"another start...").encode()
        durable_path(wal).write_bytes(content)
    for suffix in ("", "-wal", "-shm"):
        writer.paths.database.with_name("primary.db" + suffix).unlink(missing_ok=True)
    older.rename(writer.paths.database)
    with open(wal, "r+b") as log:
        log.seek(8192)
        log.write(bytes(4096))
    before = wal.read_bytes()
    with pytest.raises(LocalFilesDamaged, match=r"primary\.wal is broken at position \d+|it was durable up to"):
        Writer(writer.paths).open()
    assert wal.read_bytes() == before


@pytest.mark.parametrize("change", [lambda wal: os.truncate(wal, wal.stat().st_size - 30)])
def test_a_log_that_is_shorter_than_it_was_durable(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """After a kill that is a loss, and named; after an orderly end its owner restored an older one."""
    for end in (Writer.close, abandon):
        writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
        writer.open()
        writer.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, a)")
        older = tmp_path / "older.db"
        older.unlink(missing_ok=True)
        writer.rows(f"VACUUM INTO '{older}'")
        writer.execute("INSERT INTO t(a) VALUES ('lost')")
        end(writer)
        for suffix in ("", "-wal", "-shm"):
            writer.paths.database.with_name("primary.db" + suffix).unlink(missing_ok=True)
        older.rename(writer.paths.database)
        change(writer.paths.wal)
        if end is Writer.close:
            with opened(tmp_path) as again:
                assert again.rows("SELECT * FROM t") == []
            continue
        with pytest.raises(
            LocalFilesDamaged, match=r"what was acknowledged is damaged or gone.*remove .*\.durable"
        ):
            Writer(writer.paths).open()
        # The one who is told so may go on with a new log, or without that word.
        assert begin_new_log(writer.paths).of_primary


def test_a_file_of_somebody_else_with_that_name(tmp_path: Path) -> None:
    """The primary is refused, and changes nothing."""
    paths = DatabasePaths.of(tmp_path / "primary.db")
    durable_path(paths.wal).write_bytes(b"a diary")
    with pytest.raises(LocalFilesDamaged, match="or move it away"):
        Writer(paths).open()
    assert durable_path(paths.wal).read_bytes() == b"a diary"
    assert not paths.database.exists()
    assert not paths.wal.exists()


def test_a_copied_pair_goes_on_by_itself(tmp_path: Path) -> None:
    """What is said of another file (by its inode) says nothing of a copy, as a backup makes it."""
    writer = Writer(DatabasePaths.of(tmp_path / "primary.db"))
    writer.open()
    writer.execute(TABLE)
    abandon(writer)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in tmp_path.glob("primary.*"):
        (copy / path.name).write_bytes(path.read_bytes())
    os.truncate(copy / "primary.wal", writer.paths.wal.stat().st_size)
    with opened(copy, "INSERT INTO t VALUES (1, 1)") as again:
        assert durable_of(again).inode == again.paths.wal.stat().st_ino
        assert_same_on_copy(again)

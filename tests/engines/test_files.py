"""Engines without rows, and the file that holds their state."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.engines.state_file import load_state, save_state, state_path
from spgrepl.errors import EngineFailed, LocalFilesDamaged, SnapshotError
from spgrepl.interfaces.engine import Fence, IEngine, ReplayState
from tests.replica.following.copies import log_of, opened, quick_folder
from tests.replica.following.test_replay import files_no_longer_than

STATE = ReplayState(700, 300, Fence(650, 0xDEADBEEF))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


# -- the state file -------------------------------------------------------------------------------------------


@given(
    state=st.builds(
        ReplayState,
        st.integers(0, 2**63),
        st.integers(0, 2**63),
        st.none() | st.builds(Fence, st.integers(1, 2**63), st.integers(0, 2**32 - 1)),
    ),
    digest=st.integers(0, 2**32 - 1),
)
def test_a_state_is_read_as_it_was_written(state: ReplayState, digest: int) -> None:
    with quick_folder() as folder:
        save_state(folder / "a.db", state, {"digest": digest})
        assert load_state(folder / "a.db", ("digest",)) == (state, {"digest": digest})


def test_there_is_no_state_at_first(database: Path) -> None:
    assert load_state(database) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"7", b"\xff", b'{"position": "x", "base": 0, "fence": null}', b'{"position": 1'],
)
def test_a_damaged_state_is_named(database: Path, content: bytes) -> None:
    state_path(database).write_bytes(content)
    with pytest.raises(LocalFilesDamaged, match=r"replay\.json cannot be read"):
        load_state(database)


def test_a_disk_that_refuses_leaves_the_old_state(database: Path) -> None:
    save_state(database, STATE, {})
    before = set(database.parent.iterdir())
    with files_no_longer_than(10), pytest.raises(EngineFailed, match="cannot be written"):
        save_state(database, ReplayState(900, 300), {})
    assert load_state(database) == (STATE, {})
    assert set(database.parent.iterdir()) == before


# -- archive --------------------------------------------------------------------------------------------------


def test_an_archive_keeps_snapshot_and_log_byte_for_byte(tmp_path: Path, database: Path) -> None:
    assert verifyObject(IEngine, ArchiveEngine(database))
    log = log_of("CREATE TABLE t (a)", "this is not SQL at all", "BEGIN", "x; COMMIT; BEGIN; y", "ROLLBACK")
    with opened(tmp_path, ArchiveEngine) as copy:
        copy.install(b"SPGENV01, or anything", 40)
        copy.replay.apply([log])
        assert copy.engine.statistics() == {"statements": 5, "attached": 0}
        assert copy.engine.save_snapshot(tmp_path / "saved") == 0
    assert database.read_bytes() == (tmp_path / "saved").read_bytes() == b"SPGENV01, or anything"
    assert copy.paths.wal.read_bytes() == log
    with opened(tmp_path, ArchiveEngine) as copy:
        assert copy.resume(b"\0" * 40 + log) == 40 + len(log)


def test_an_archive_without_a_snapshot_has_none_to_give(tmp_path: Path, database: Path) -> None:
    engine = ArchiveEngine(database)
    assert engine.open() is None
    with pytest.raises(SnapshotError, match="does not exist yet"):
        engine.save_snapshot(tmp_path / "saved")


def test_a_rolled_back_batch_is_not_counted(database: Path) -> None:
    for engine in (ArchiveEngine(database), CountingEngine(database)):
        engine.begin()
        engine.execute([b"a", b"b"], {})
        engine.rollback()
        engine.begin()
        engine.execute([b"c"], {})
        engine.commit(STATE)
        assert engine.statistics()["statements"] == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[]"])
def test_an_installation_whose_trace_is_damaged_is_named(database: Path, content: bytes) -> None:
    database.with_name("copy.db.replay.json.next").write_bytes(content)
    with pytest.raises(LocalFilesDamaged, match=r"replay\.json\.next"):
        ArchiveEngine(database).open()


def test_an_installation_that_renamed_nothing_is_forgotten(database: Path) -> None:
    engine = ArchiveEngine(database)
    snapshot = database.with_name("received")
    snapshot.write_bytes(b"one")
    engine.install_snapshot(snapshot, STATE)
    trace = database.with_name("copy.db.replay.json.next")
    trace.write_bytes(b'{"position": 9, "base": 9, "fence": null, "inode": %d}' % (os.stat(database).st_ino + 1))
    assert ArchiveEngine(database).open() == STATE
    assert not trace.exists()


# -- counting -------------------------------------------------------------------------------------------------


def plain_digest(statements: list[bytes]) -> str:
    """The digest as it is documented."""
    digest = 0
    for statement in statements:
        digest = crc32(struct.pack("<I", len(statement)) + statement, digest)
    return f"{digest:08x}"


@given(
    batches=st.lists(st.lists(st.binary(max_size=20) | st.just(b"x" * 4096) | st.just(b"y" * 5000), max_size=5))
)
def test_the_digest_is_the_documented_one(batches: list[list[bytes]]) -> None:
    with quick_folder() as folder:
        engine = CountingEngine(folder / "counted.db")
        for batch in batches:
            engine.begin()
            engine.execute(batch, {})
            engine.commit(STATE)
    every = [statement for batch in batches for statement in batch]
    assert engine.statistics() == {"statements": len(every), "attached": 0, "digest": plain_digest(every)}


def test_the_digest_goes_on_behind_a_crash_and_begins_anew_with_a_snapshot(tmp_path: Path) -> None:
    assert verifyObject(IEngine, CountingEngine(tmp_path / "copy.db"))
    statements = [b"CREATE TABLE t (a)", b"BEGIN", b"INSERT INTO t VALUES (1)", b"ROLLBACK", b"no SQL"]
    log = log_of(*statements)
    with opened(tmp_path, CountingEngine) as copy:
        copy.install(b"thrown away", 10)
        copy.replay.apply([log[:-10]])
    with opened(tmp_path, CountingEngine) as copy:
        at = copy.resume(b"\0" * 10 + log)
        copy.replay.apply([log[at - 10 :]])
        assert copy.engine.statistics()["digest"] == plain_digest(statements)
        with pytest.raises(SnapshotError, match="keeps no snapshot"):
            copy.engine.save_snapshot(tmp_path / "saved")
        copy.install(b"another", 900)
        assert copy.engine.statistics()["digest"] == plain_digest([])
    assert not (tmp_path / "copy.db").exists()

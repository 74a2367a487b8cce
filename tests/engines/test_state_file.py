"""Engines without rows, and the file that holds their state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.state_file import load_state, save_state, state_path
from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.interfaces.engine import Fence, ReplayState
from tests.engines.conftest import STATE
from tests.replica.following.copies import quick_folder
from tests.replica.following.test_replay import files_no_longer_than

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

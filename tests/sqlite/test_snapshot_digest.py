"""A snapshot carries its own digest: no bit of it can flip without notice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from spgrepl.errors import SnapshotError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.sqlite import snapshot_digest
from spgrepl.sqlite.database_copy import inspect_snapshot
from tests.engines.test_sqlite import TABLES, content, engine_with


def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    with engine_with(folder, *TABLES) as engine:
        engine.save_snapshot(tmp_path / "snapshot")
    snapshot = tmp_path / "snapshot"
    assert snapshot_digest.check(snapshot)
    inspect_snapshot(snapshot)
    sound = snapshot.read_bytes()
    mark = sound.rfind(snapshot_digest._MARK)
    chosen = random.Random(7)
    places = [chosen.randrange(16, len(sound)) for _ in range(60)]
    for place in (*places, mark + len(snapshot_digest._MARK), mark - 1, len(sound) - 1):
        if mark <= place < mark + len(snapshot_digest._MARK):
            continue
        damaged = bytearray(sound)
        damaged[place] ^= 1 << chosen.randrange(8)
        snapshot.write_bytes(damaged)
        with pytest.raises(SnapshotError, match="damaged on its way"):
            inspect_snapshot(snapshot)


def test_a_copy_and_the_snapshots_of_a_copy_have_no_digest_of_another(tmp_path: Path) -> None:
    with engine_with(tmp_path, *TABLES) as engine:
        engine.save_snapshot(tmp_path / "first")
        engine.install_snapshot(tmp_path / "first", ReplayState(9, 9))
        assert content(engine, "SELECT 1 FROM sqlite_master WHERE name = 'spgrepl_digest'") == []
        engine.save_snapshot(tmp_path / "second")
    inspect_snapshot(tmp_path / "second")


def test_a_snapshot_of_an_earlier_version_has_none(tmp_path: Path) -> None:
    with engine_with(tmp_path, *TABLES):
        pass
    assert not snapshot_digest.check(tmp_path / "copy.db")

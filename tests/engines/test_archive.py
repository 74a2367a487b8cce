"""The engine that keeps snapshot and log, and applies nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.errors import SnapshotError
from spgrepl.interfaces.engine import IEngine
from tests.replica.following.copies import log_of, opened


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

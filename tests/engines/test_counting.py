"""The engine that applies nothing and counts."""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from spgrepl.engines.archive import ArchiveEngine
from spgrepl.engines.counting import CountingEngine
from spgrepl.errors import SnapshotError
from spgrepl.interfaces.engine import IEngine
from tests.engines.conftest import STATE
from tests.replica.following.copies import log_of, opened, quick_folder


def test_a_rolled_back_batch_is_not_counted(database: Path) -> None:
    for engine in (ArchiveEngine(database), CountingEngine(database)):
        engine.begin()
        engine.execute([b"a", b"b"], {})
        engine.rollback()
        engine.begin()
        engine.execute([b"c"], {})
        engine.commit(STATE)
        assert engine.statistics()["statements"] == 1


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

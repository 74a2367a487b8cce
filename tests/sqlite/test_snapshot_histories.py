"""The position that a master states of its snapshot, judged by the snapshot."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.errors import SnapshotError
from spgrepl.sqlite import snapshot_digest
from spgrepl.sqlite.database_copy import save_database
from spgrepl.sqlite.snapshot_histories import check_place
from tests.primary.copying import opened


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, int]:
    """A primary's snapshot, and where it stands."""
    with opened(tmp_path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)") as writer:
        position = save_database(writer.paths.database, tmp_path / "snapshot")
    return tmp_path / "snapshot", position


def test_the_position_of_a_snapshot_has_no_other_bit(saved: tuple[Path, int]) -> None:
    """A single bit that flips would make a copy that has something twice, or never gets it."""
    snapshot, position = saved
    check_place(snapshot, position)
    for bit in range(64):
        if position ^ (1 << bit):
            with pytest.raises(SnapshotError, match=f"which stands at {position}: the position was damaged"):
                check_place(snapshot, position ^ (1 << bit))


def test_what_is_kept_as_it_came_stands_where_its_log_begins(saved: tuple[Path, int]) -> None:
    check_place(saved[0], 0)


def test_nothing_is_known_of_other_snapshots(saved: tuple[Path, int], tmp_path: Path) -> None:
    """Those of earlier versions have no digest, so their words may be damaged too; SPG's are not databases."""
    snapshot, position = saved
    with closing(apsw.Connection(str(snapshot))) as connection:
        snapshot_digest.drop(connection)
    check_place(snapshot, position + 4)
    other = tmp_path / "other"
    other.write_bytes(b"SPGENV1 and so on")
    check_place(other, 7)
    other.write_bytes(b"")
    check_place(other, 0)

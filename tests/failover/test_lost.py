"""The list of what one side of a failover had, and the other did not get."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.disk.files import own_name
from spgrepl.errors import RecordError
from spgrepl.failover.lost import list_lost
from spgrepl.log.format.records import encode_checkpoint
from spgrepl.pairs.turns import Turn
from tests.log.transactions.batches import batch

A, B, C = "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "DELETE FROM t"


def test_each_record_with_its_position_and_crc(tmp_path: Path) -> None:
    wal, listed = tmp_path / "main.wal", tmp_path / "main.wal.lost-1"
    found = batch(A, B, encode_checkpoint(0), Turn("a" * 32, 0).encode(), C)
    wal.write_bytes(found.data)
    start = found.start_of(1)
    lost = list_lost(wal, start, found.end, listed, 1000)
    assert (lost.position, lost.length, lost.statements, lost.path) == (start, found.end - start, 2, listed)
    assert listed.read_text() == "".join(
        [
            f"-- What stands in main.wal after position {start}.\n",
            *(
                f"-- position {found.start_of(index)}, CRC {found.record(index).crc:08x}\n{sql};\n"
                for index, sql in ((1, B), (4, C))
            ),
        ]
    )
    assert listed.stat().st_mode & 0o777 == 0o600
    assert f"they are listed in {listed}" in str(lost)


def test_a_part_that_ends_before_the_log(tmp_path: Path) -> None:
    wal = tmp_path / "main.wal"
    found = batch(A, B, C)
    wal.write_bytes(found.data)
    assert list_lost(wal, 0, found.start_of(2), tmp_path / "list", 1000).statements == 2


def test_damage_is_named(tmp_path: Path) -> None:
    wal = tmp_path / "main.wal"
    wal.write_bytes(batch(A).data[:-1] + b"x")
    with pytest.raises(RecordError):
        list_lost(wal, 0, batch(A).end, tmp_path / "list", 1000)


def test_a_list_is_written_once_and_never_over_something_else(tmp_path: Path) -> None:
    wal, listed = tmp_path / "main.wal", tmp_path / "main.wal.lost-7"
    wal.write_bytes(batch(A, B).data)
    listed.symlink_to("nowhere")
    end = batch(A, B).end
    first = list_lost(wal, 0, end, listed, 1000)
    assert first.path == tmp_path / "main.wal.lost-7.1"
    assert list_lost(wal, 0, end, listed, 1000) == first
    assert list_lost(wal, 0, batch(A).end, listed, 1000).path == tmp_path / "main.wal.lost-7.2"
    assert {one.name for one in tmp_path.iterdir()} == {
        "main.wal",
        *(f"main.wal.lost-7{more}" for more in ("", ".1", ".2")),
    }


def test_what_a_killed_process_was_writing_is_taken_for_nothing(tmp_path: Path) -> None:
    wal, listed = tmp_path / "main.wal", tmp_path / "main.wal.lost-0"
    wal.write_bytes(batch(A).data)
    own_name(listed, "listing").write_bytes(b"-- What st")
    assert list_lost(wal, 0, batch(A).end, listed, 1000).path == listed
    assert sorted(one.name for one in tmp_path.iterdir()) == ["main.wal", "main.wal.lost-0"]

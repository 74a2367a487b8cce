"""One snapshot for the initial copy: received, let go of, put in place."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from spgrepl.errors import (
    CopyRefused,
    TableMismatch,
)
from tests import sql as sqlite3
from tests.replica.subscribing.conftest import ROWS, TABLE, ended, versions
from tests.replica.subscribing.kit import Rig
from tests.replica.subscribing.targets import run_sql


def open_files() -> Iterator[str]:
    """What the descriptors of this process lead to."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/self/fd/{number}")


def test_a_snapshot_has_no_name_while_it_comes_so_that_nothing_leaves_it_behind(rig: Rig) -> None:
    somebodys = rig.folder / "target.db.s.incoming"
    somebodys.write_bytes(b"not ours")
    before = {path.name for path in rig.folder.iterdir()}
    rig.start()
    while rig.status["copy"] is None or rig.status["copy"]["received"] < 5000:
        rig.turn(size=500)
        assert {path.name for path in rig.folder.iterdir()} - before <= {"target.db.s.lock"}
    rig.settle()
    assert rig.numbers == [1, 2]
    assert somebodys.read_bytes() == b"not ours"
    assert not [link for link in open_files() if "(deleted)" in link and str(rig.folder) in link]


@pytest.mark.parametrize("size", [1, 700, 5000])
def test_a_copy_that_breaks_off_leaves_nothing_and_begins_again(rig: Rig, size: int) -> None:
    rig.start()
    while rig.status["copy"] is None or rig.status["copy"]["received"] < size:
        rig.turn(size=min(size, 500))
    assert rig.status["state"] == "copying"
    assert rig.status["copy"]["length"] == len(rig.master.source.content)
    rig.wire.last.cut()
    assert not rig.database.exists()
    assert "closed the connection" in rig.status["error"]
    rig.settle(2)
    assert rig.numbers == [1, 2]
    assert rig.status["error"] is None


def test_the_master_may_go_while_rows_are_put_in_place(rig: Rig) -> None:
    """That takes as long as it takes: no connection is held meanwhile, and none is made."""
    rig.start()
    while rig.status["copy"] is None:
        rig.turn(size=500)
    rig.worker.hold()
    rig.settle()
    connections = len(rig.wire.connections)
    assert all(one.ended for one in rig.wire.connections)
    rig.settle(100)
    assert (rig.status["state"], len(rig.wire.connections)) == ("copying", connections)
    rig.worker.release()
    rig.settle()
    assert rig.numbers == [1, 2]
    assert rig.status["state"] == "streaming"


def test_rows_that_cannot_be_put_in_place_at_present_are_asked_for_again(rig: Rig) -> None:
    run_sql(rig.database, "CREATE TABLE of_somebody (a)")
    with contextlib.closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spgrepl.sqlite.session.BUSY_SECONDS", 0.01)
            rig.start()
            rig.settle(1.2)
            assert "locked" in rig.status["error"]
            assert rig.status["state"] in ("waiting", "connecting", "copying")
            assert 2 <= rig.master.source.saved <= 4
            other.execute("ROLLBACK")
            rig.settle(10)
    assert rig.numbers == [1, 2]
    assert rig.status["error"] is None


def test_a_table_that_is_another_one_ends_the_subscription(rig: Rig) -> None:
    run_sql(rig.database, "CREATE TABLE t (b)", "INSERT INTO t VALUES (7)")
    rig.start()
    rig.settle(40)
    assert isinstance(ended(rig), TableMismatch)
    assert rig.status["state"] == "stopped"
    assert "--no-copy-data" in rig.status["error"]
    assert rig.numbers == [7]
    assert versions(rig) == ["SUB", 2, 1]


def test_a_snapshot_that_is_of_no_use_is_named_by_its_first_bytes(rig: Rig) -> None:
    rig.master.source.content = b"another file " + bytes(200_000)
    rig.start()
    rig.settle(40)
    assert isinstance(ended(rig), CopyRefused)
    assert "another file" in rig.status["error"]
    assert not rig.database.exists()
    assert len(rig.wire.connections) == 2


VIRTUAL = "CREATE VIRTUAL TABLE words USING fts5 (w)"


PUBLISHED = "CREATE PUBLICATION p FOR TABLE t, words"


@pytest.mark.parametrize(
    ("tables", "here", "reason"),
    [
        # Each is a copy that no other snapshot makes possible.
        ((TABLE, VIRTUAL), (), "words is a virtual table"),
        ((TABLE, *ROWS), ("CREATE VIEW t AS SELECT 1 AS a",), "is that of a view"),
        ((TABLE, *ROWS), ("CREATE TABLE t (a TEXT PRIMARY KEY)",), "column 1"),
        ((TABLE, "CREATE INDEX i ON t (a)"), ("CREATE TABLE i (x)",), "needs the name i"),
    ],
)
def test_what_cannot_be_copied_is_final_and_fetched_once(
    rig: Rig, tables: tuple[str, ...], here: tuple[str, ...], reason: str
) -> None:
    rig.publications = (PUBLISHED,)
    rig.save(*tables)
    run_sql(rig.database, "CREATE TABLE of_somebody (a)", *here)
    rig.start()
    rig.settle(40)
    assert isinstance(ended(rig), (CopyRefused, TableMismatch))
    assert reason in rig.status["error"]
    assert (rig.status["state"], rig.master.source.saved) == ("stopped", 1)
    assert ended(rig).exit_code == 78


def test_an_empty_snapshot_is_named(rig: Rig) -> None:
    rig.master.source.content = b""
    rig.start()
    rig.settle(0.6)
    assert rig.status["error"]
    assert not rig.database.exists()

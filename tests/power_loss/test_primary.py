"""A primary that loses power: nothing acknowledged is missing, nothing is there twice.

Ten moments by default; ``SPGREPL_KILLS=200`` makes a campaign of it, ``SPGREPL_SEED`` another one.
"""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.targets.stored_state import read_subscription
from spgrepl.log.durable import DurableLength
from spgrepl.log.reader import Damage, scan_log
from spgrepl.primary.writing.writer import DatabaseWriter
from tests.end_to_end.kills.test_primary_kill import content
from tests.power_loss.disk import Disk, Kind, Operation
from tests.power_loss.marking import groups
from tests.power_loss.recording import COMPILER, build_shim, losses, record
from tests.primary.copying import copy_of

MOMENTS = int(os.environ.get("SPGREPL_KILLS", "10"))
SEED = os.environ.get("SPGREPL_SEED", "1")
REQUESTS = 60

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the shim needs a C compiler")


def test_nothing_acknowledged_is_lost_with_the_power(tmp_path: Path) -> None:
    root = tmp_path / "recorded"
    root.mkdir()
    operations = record(build_shim(tmp_path), root, Path(__file__).with_name("writing.py"), root, REQUESTS)
    for folder, notes in losses(operations, root, tmp_path, MOMENTS, random.Random(SEED)):
        said = {(int(writer), int(number)) for writer, number, _ in map(bytes.split, notes)}
        check(DatabasePaths.of(folder / "primary.db"), said)
    check_published(operations, root)


def check_published(operations: list[Operation], root: Path) -> None:
    """Whatever a primary has said to be durable, and so may have been sent, no loss of power takes away."""
    made = {done.data: done.file for done in operations if done.kind is Kind.CREATE}
    log, durable = (made[os.fsencode(root / name)] for name in ("primary.wal", "primary.wal.durable"))
    disk, published = Disk(root), 0
    for operation in operations:
        if operation.kind is Kind.WRITE and operation.file == durable:
            said = DurableLength.decode(operation.data)
            assert said is not None
            assert said.length <= disk.surely_there(log)
            published += 1
        disk.take(operation)
    assert published > REQUESTS


def test_a_subscription_and_the_rows_that_it_brings_lose_power_together(tmp_path: Path) -> None:
    """Whatever else is in the group with them, and whether the log gets anything."""
    root = tmp_path / "recorded"
    root.mkdir()
    operations = record(build_shim(tmp_path), root, Path(__file__).with_name("marking.py"), root, SEED)
    brought = {
        one.mark.state.position
        for requests, _, _ in groups(SEED)
        for one in requests
        if one.mark is not None and one.statements
    }
    for folder, notes in losses(operations, root, tmp_path, MOMENTS, random.Random(SEED)):
        position, own = map(int, notes[-1].split()) if notes else (0, 0)
        paths = DatabasePaths.of(folder / "primary.db")
        writer = DatabaseWriter(paths)
        writer.open()
        writer.close()
        with closing(sqlite3.connect(paths.database)) as connection:
            state = read_subscription(connection, "s")
            if state is None:
                assert not notes
                continue
            assert state.position >= position
            found = {number for (number,) in connection.execute("SELECT id FROM brought")}
            assert found == {number for number in brought if number <= state.position}
            assert connection.execute("SELECT count(*) FROM own WHERE id > 0").fetchone()[0] >= own
            with closing(copy_of(paths.wal)) as copy:
                for table in ("brought", "own"):
                    query = f"SELECT * FROM {table} ORDER BY id"
                    assert connection.execute(query).fetchall() == copy.execute(query).fetchall()


def check(paths: DatabasePaths, expected: set[tuple[int, int]]) -> None:
    """Recover, and compare database, log and what was acknowledged."""
    writer = DatabaseWriter(paths)
    writer.open()
    writer.close()
    report = scan_log(paths.wal)
    assert (report.damage, report.open_transaction) == (Damage.NONE, None)
    with closing(sqlite3.connect(paths.database)) as connection, closing(copy_of(paths.wal)) as copy:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
            assert not expected
            return
        assert expected <= set(connection.execute("SELECT writer, number FROM entries WHERE part = 0"))
        parts = connection.execute(
            "SELECT count(*) FROM entries GROUP BY writer, number HAVING count(*) <> iif(number % 3, 1, 3)"
        )
        assert parts.fetchall() == []
        counted = connection.execute(
            "SELECT writer FROM totals t "
            "WHERE entries <> (SELECT count(*) FROM entries e WHERE e.writer = t.writer)"
        )
        assert counted.fetchall() == []
        assert content(connection) == content(copy)

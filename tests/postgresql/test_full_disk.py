"""A server whose disk is full for a while: nothing is lost, nothing comes twice, and the status says so."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import until
from tests.postgresql.conftest import Database
from tests.postgresql.pair import Pair
from tests.postgresql.server import PostgresServer


@pytest.fixture
def small(postgres: PostgresServer) -> Iterator[tuple[Database, Path]]:
    """A database on a disk of 24 MiB, and a file there that can make room."""
    folder = postgres.folder / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True).returncode
        == 0
    )
    if not mounted:
        folder.rmdir()
        pytest.skip("a small disk is made by root, who may mount one")
    try:
        space = folder / "space"
        space.mkdir()
        owner = (postgres.folder / "data").stat()
        os.chown(space, owner.st_uid, owner.st_gid)
        postgres.query("postgres", f"CREATE TABLESPACE small LOCATION '{space}'")
        postgres.query("postgres", "CREATE DATABASE small TABLESPACE small")
        yield Database(postgres, "small", postgres.url("small")), folder / "ballast"
        postgres.query("postgres", "DROP DATABASE small WITH (FORCE)")
        postgres.query("postgres", "DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(ballast: Path) -> None:
    """Write a file until its disk is full."""
    with ballast.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_stops_a_subscription_until_there_is_room(
    small: tuple[Database, Path], tmp_path: Path
) -> None:
    database, ballast = small
    pair = Pair(tmp_path, database, "subscriber")
    master = pair.master
    try:
        master.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)", "CREATE PUBLICATION p FOR TABLE t")
        subscriber = pair.start()
        position = master.execute("INSERT INTO t VALUES (0, 'first')")
        pair.settle(position)
        with pytest.raises(OSError, match="No space"):
            fill(ballast)
        number = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)"
        position = master.execute(f"{number} INSERT INTO t SELECT n, printf('%0500d', n) FROM c")
        until(lambda: "No space left on device" in str(subscriber.status()["error"]), subscriber.status)
        assert database.query("SELECT count(*) FROM t") == [(1,)]
        ballast.unlink()
        pair.settle(position)
        assert database.query("SELECT count(*), sum(id) FROM t") == [(3001, 3000 * 3001 // 2)]
        assert subscriber.status()["error"] is None
    finally:
        pair.stop()

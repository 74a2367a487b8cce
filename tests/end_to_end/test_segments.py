"""Cold segments between real servers: every engine, a cascade, new ones, damaged ones, a master that goes on."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.segments.manifest import read_manifest
from tests.end_to_end.conftest import Server, Start, run_command, until
from tests.end_to_end.segments_kit import check_exact, write_segments
from tests.segments.samples import put, v1

LOCAL = "127.0.0.1:0"


def folder_of(server: Server) -> Path:
    return server.database.with_suffix(".spg") / "segments"


def has(server: Server, count: int) -> None:
    until(lambda: server.status()["segments"]["registered"] == count, server.output)


def add(folder: Path, number: int, content: bytes) -> None:
    """Add a segment as its writer does: whole at once."""
    (folder / "new").write_bytes(content)
    os.rename(folder / "new", folder / f"seg_{number}.spg")


def test_segments_and_rows_through_a_cascade(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL, "--segment-chunk", "300K")
    expected = write_segments(folder_of(master), random.Random(3), 8)
    master.start()
    middle = make("middle", "follower", "--master", f"127.0.0.1:{master.port()}", "--listen", LOCAL).start()
    last = make("last", "follower", "--master", f"127.0.0.1:{middle.port()}").start()
    position = master.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    last.wait(position)
    has(last, 8)
    expected[5000] = v1(b"new" * 200_000)
    add(folder_of(master), 5000, expected[5000])
    has(last, 9)
    last.wait(master.execute("INSERT INTO t VALUES (2)"))
    assert master.status()["peers"][0]["segments"]["sent"] == 9
    for server in (middle, last):
        server.same_as(master)
        with closing(sqlite3.connect(server.database)) as connection:
            rows = connection.execute("SELECT id, path FROM spgrepl_segments ORDER BY id").fetchall()
        assert rows == [(number, str(folder_of(server) / f"seg_{number}.spg")) for number in sorted(expected)]
        server.stop()
        check_exact(server.database, expected)


@pytest.mark.parametrize("engine", ["archive", "counting"])
def test_other_engines_have_them_too(make: Start, engine: str) -> None:
    master = make("master", "master", "--listen", LOCAL)
    expected = write_segments(folder_of(master), random.Random(4), 5)
    master.start()
    master.execute("CREATE TABLE t (a)")
    follower = make("follower", "follower", "--master", f"127.0.0.1:{master.port()}", "--engine", engine).start()
    has(follower, 5)
    assert follower.status()["attached"] == 5
    follower.stop()
    check_exact(follower.database, expected)


def test_an_archive_is_served_again_with_its_segments(make: Start) -> None:
    """The manifest that a follower writes states the snapshot's CRC, and a master checks it."""
    master = make("master", "master", "--listen", LOCAL)
    expected = write_segments(folder_of(master), random.Random(5), 4)
    master.start()
    position = master.execute("CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    archive = make("archive", "follower", "--master", f"127.0.0.1:{master.port()}", "--engine", "archive").start()
    archive.wait(position)
    has(archive, 4)
    archive.stop()
    again = make("again", "master", "--listen", LOCAL, "--engine", "archive", "--wal", archive.wal)
    again.database = archive.database
    words = again._words
    words[words.index("--db") + 1] = str(archive.database)
    again.start()
    copy = make("copy", "follower", "--master", f"127.0.0.1:{again.port()}").start()
    has(copy, 4)
    copy.same_as(master)
    copy.stop()
    check_exact(copy.database, expected)


def test_a_segment_that_the_master_has_damaged_stops_nothing_else(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL)
    put(folder_of(master), {1: v1(b"one"), 2: v1(b"two")[:-1] + b"!", 3: v1(b"three")})
    master.start()
    follower = make("follower", "follower", "--master", f"127.0.0.1:{master.port()}").start()
    follower.wait(master.execute("CREATE TABLE t (a)"))
    has(follower, 2)
    until(lambda: follower.status()["state"] == "streaming", follower.output)
    assert follower.status()["segments"]["damaged"] == [2]
    assert "segment 2 has a body with CRC" in follower.output()
    follower.stop()
    check_exact(follower.database, {1: v1(b"one"), 3: v1(b"three")})


def test_a_folder_named_by_hand(make: Start, tmp_path: Path) -> None:
    put(tmp_path / "cold", {7: v1(b"seven")})
    master = make("master", "master", "--listen", LOCAL, "--segment-dir", tmp_path / "cold").start()
    follower = make("follower", "follower", "--master", f"127.0.0.1:{master.port()}").start()
    has(follower, 1)
    assert master.status()["segments_served"]["folder"] == str(tmp_path / "cold")
    assert "segments: 1, wrong: 0" in run_command("segments", "verify", folder_of(follower))
    manifest = read_manifest(follower.database.with_suffix(".spg") / "manifest.v10")
    assert manifest is not None
    assert manifest.snapshot_crc != 0

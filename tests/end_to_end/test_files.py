"""Files of somebody else in the way of real processes, and files that are taken away under them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from tests.end_to_end.conftest import DEADLINE, Start, run_command, until
from tests.end_to_end.test_replication import LOCAL, follower_of, rows

_HOLDER = """
    import sys
    from spgrepl.disk.files import DatabasePaths
    from spgrepl.primary.running.session import Request
    from spgrepl.primary.writing.writer import DatabaseWriter

    writer = DatabaseWriter(DatabasePaths.of(sys.argv[1]))
    writer.open()
    print("open", flush=True)
    for line in sys.stdin:
        print(type(writer.run([Request((line,))])[0]).__name__, flush=True)
"""


def _customers(folder: Path) -> tuple[Path, bytes]:
    path = folder / "customers.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name)")
    return path, path.read_bytes()


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_database_has_one_writer_whatever_its_name(tmp_path: Path, link: object) -> None:
    """A statement that was acknowledged under one name is not written over under another."""
    for suffix in ("db", "wal"):
        if link is os.link:
            (tmp_path / f"main.{suffix}").touch()
        link(tmp_path / f"main.{suffix}", tmp_path / f"link.{suffix}")  # type: ignore[operator]
    command = [sys.executable, "-c", textwrap.dedent(_HOLDER), str(tmp_path / "main.db")]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        answers = []
        for number in range(2):
            print(f"CREATE TABLE t{number} (a)", file=holder.stdin, flush=True)
            answers.append(holder.stdout.readline().strip())
            said = run_command("exec", "--db", tmp_path / "link.db", "CREATE TABLE other (a)", code=75)
            assert "writes" in said or "is written by another process" in said
        assert answers == ["Written"] * 2
        holder.stdin.close()
        assert holder.wait(DEADLINE) == 0
    with closing(sqlite3.connect(tmp_path / "main.db")) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('t0', 't1', 'other')").fetchall()
    assert sorted(names) == [("t0",), ("t1",)]


def test_servers_take_no_file_of_somebody_else(tmp_path: Path, make: Start) -> None:
    """Neither for the log, nor for an archive's snapshot."""
    customers, content = _customers(tmp_path)
    master = make("master", "master", "--listen", LOCAL).start()
    master.execute("CREATE TABLE t (a)")
    diary = tmp_path / "archive" / "data.db"
    refused = [
        make("other", "master", "--listen", LOCAL, "--wal", customers),
        follower_of(make, master, "follower", "--wal", customers),
        follower_of(make, master, "archive", "--engine", "archive"),
    ]
    diary.write_text("Dear diary")
    for server in refused:
        server.launch()
    for server, named in zip(refused, ("customers.db", "customers.db", "data.db is there"), strict=True):
        assert server.exit_code() == 65
        assert named in server.output()
    assert customers.read_bytes() == content
    assert diary.read_text() == "Dear diary"


def test_nobody_waits_for_a_pipe(tmp_path: Path, make: Start) -> None:
    """Real processes, of which SQLite or a thread could be what waits."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words, code in (
        (("segments", "cat", pipe, "--table", "t", "--snapshot", pipe), 74),
        (("snapshot", "show", pipe), 65),
        (("compare", pipe, pipe), 65),
    ):
        assert str(pipe) in run_command(*words, code=code)
    server = make("master", "master", "--listen", LOCAL, "--wal", pipe)
    server.launch()
    assert server.exit_code() == 64
    assert f"{pipe} is a device or a pipe" in server.output()


def test_a_database_that_is_taken_away_is_named_by_all_roles(make: Start) -> None:
    """And nothing is written any more, until it is back."""
    master = make("master", "master", "--listen", LOCAL, "--wal-level", "logical").start()
    position = master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    follower = follower_of(make, master).start()
    subscriber = make(
        "subscriber", "subscriber", "--master", f"127.0.0.1:{master.port()}", "--name", "s", "--all-tables"
    ).start()
    follower.wait(position)
    until(lambda: subscriber.database.exists() and subscriber.status()["state"] == "streaming", subscriber.output)
    for server in (follower, subscriber):
        server.database.rename(server.folder / "away")
    position = master.execute("INSERT INTO t VALUES (2)")
    for server in (follower, subscriber):
        error = until(lambda server=server: server.status()["error"], server.output)
        assert f"{server.database} was moved away" in error
        assert "was moved away" in server.output()
        assert not server.database.exists()
        (server.folder / "away").rename(server.database)
    follower.wait(position)
    assert rows(follower) == [(1,), (2,)]
    until(lambda: rows(subscriber) == [(1,), (2,)], subscriber.output)
    master.database.rename(master.folder / "away")
    assert "was moved away" in until(lambda: master.status()["error"], master.output)


def test_whatever_the_umask_what_is_made_is_its_owners_only(tmp_path: Path, make: Start) -> None:
    """Of all roles and engines, and of a copy that becomes a primary."""
    before = os.umask(0)
    try:
        master = make("master", "master", "--listen", LOCAL, "--wal-level", "logical").start()
        position = master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        copies = [
            follower_of(make, master, engine, "--engine", engine, "--listen", LOCAL).start()
            if engine != "counting"
            else follower_of(make, master, engine, "--engine", engine).start()
            for engine in ("sqlite", "archive", "counting")
        ]
        words = ("--master", f"127.0.0.1:{master.port()}", "--name", "s", "--all-tables")
        subscriber = make("subscriber", "subscriber", *words).start()
        for copy in copies:
            copy.wait(position)
        until(
            lambda: subscriber.database.exists() and subscriber.status()["state"] == "streaming", subscriber.output
        )
        run_command("promote", "--db", copies[0].database)
        copies[0].execute("INSERT INTO t VALUES (2)")
    finally:
        os.umask(before)
    made = [
        (path.relative_to(tmp_path), oct(path.stat().st_mode & 0o777))
        for server in (master, subscriber, *copies)
        for path in server.folder.rglob("*")
        # What twistd or this test have made.
        if path.name not in ("output", "http", "http.lock")
    ]
    assert len(made) > 20
    assert [one for one in made if one[1] not in ("0o600", "0o700")] == []

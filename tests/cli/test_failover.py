"""``spgrepl promote``, ``follow``, ``drain`` and ``skip``, where no server runs."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.cli import main
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.replica.following.replay import Replay
from spgrepl.sqlite.database_copy import save_database
from tests.primary.copying import opened


def run(*words: object, code: int = 0) -> None:
    assert main([str(word) for word in words]) == code


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with opened(tmp_path, "CREATE TABLE t (a INTEGER PRIMARY KEY)") as writer:
        return writer.paths.database


def test_drain_and_its_undoing(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("drain", "--db", database)
    assert re.fullmatch(r"\d+@[0-9a-f]{32}\n", capsys.readouterr().out)
    run("exec", "--db", database, "INSERT INTO t VALUES (1)", code=77)
    assert "was drained at position" in capsys.readouterr().err
    run("exec", "--db", database, "SELECT count(*) FROM t")
    run("drain", "--db", database, "--undo")
    run("exec", "--db", database, "INSERT INTO t VALUES (1)")


def test_drain_says_which_copy_does_not_answer(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("drain", "--db", database, "--copy", f"unix:{tmp_path}/none", code=69)
    assert "does not answer" in capsys.readouterr().err


def test_a_primary_in_use_is_not_drained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        run("drain", "--db", writer.paths.database, code=75)
    assert "Primary.drain()" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("promote",), ("drain",), ("skip", "5", "ab"), ("follow", "--http", "unix:/none")]
)
def test_a_database_that_is_not_there(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(words[0], "--db", tmp_path / "none.db", *words[1:], code=66)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [("promote",), ("promote", "--force"), ("drain",), ("follow", "--http", "unix:/n")]
)
def test_a_log_whose_rows_are_in_a_server(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy.wal").write_bytes(b"")
    run(words[0], "--db", tmp_path / "copy", *words[1:], code=66)
    told = capsys.readouterr().err
    assert f"{tmp_path}/copy is not there, but its log {tmp_path}/copy.wal is." in told
    assert "a copy whose rows are in PostgreSQL" in told
    assert "Promote a copy in SQLite" in told


def test_a_record_is_skipped_by_a_server_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows may be in PostgreSQL: then there is a log, and no database beside it."""
    (tmp_path / "copy.wal").write_bytes(b"")
    run("skip", "--db", tmp_path / "copy", "5", "ab", code=69)
    assert f"no server of {tmp_path}/copy is running" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("promote",), ("promote", "--force"), ("drain",), ("skip", "5", "ab"), ("follow", "--http", "unix:/none")],
)
def test_a_database_of_somebody_else(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "customers.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (a)")
    before = path.read_bytes()
    assert main([words[0], "--db", str(path), *words[1:]]) != 0
    # Who is to follow asks the new primary first.
    assert ("/none" if words[0] == "follow" else "customers") in capsys.readouterr().err
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["customers.db"]


def test_without_a_follower_that_runs_nothing_is_promoted_unless_forced(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("promote", "--db", copy_of(database, tmp_path).database, code=77)
    assert "nobody knows how far its master was" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--force",)])
def test_a_primary_is_not_promoted(
    words: tuple[str, ...], database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether its master runs is not asked."""
    run("promote", "--db", database, *words, code=78)
    assert "is a primary's database already" in capsys.readouterr().err


def test_a_server_that_ends_before_it_answers(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody knows whether the promotion has happened, and nobody is told to start a master."""
    paths = copy_of(database, tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(paths.control_socket))
        listening.listen()

        def serve() -> None:
            for answer in (b"HTTP/1.0 200 OK\r\n\r\n{}", b""):
                with listening.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        run("promote", "--db", paths.database, code=69)
        thread.join()
    said = capsys.readouterr().err
    assert "ended before it answered" in said
    assert f"spgrepl snapshot show {paths.database}" in said
    assert "start it" not in said


@contextlib.contextmanager
def answering(path: Path, *answers: dict[str, object], code: int = 200) -> Iterator[str]:
    """A server on a UNIX socket that gives these answers, one a connection."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            for answer in answers:
                with listening.accept()[0] as connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.0 %d -\r\n\r\n" % code + json.dumps(answer).encode())
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):  # what of the request has come late
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix:{path}"
        thread.join()


def copy_of(database: Path, folder: Path) -> DatabasePaths:
    """The files of a follower's copy that stands where the primary does."""
    (folder / "copy").mkdir()
    paths = DatabasePaths.of(folder / "copy" / "copy.db")
    replay = Replay(SqliteEngine(paths.database), paths)
    replay.open()
    position = save_database(database, replay.snapshot_path)
    replay.install(replay.snapshot_path.stat().st_size, position)
    replay.close()
    return paths


def test_a_copy_of_which_nothing_is_known_is_promoted_by_force(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = copy_of(database, tmp_path)
    run("promote", "--db", paths.database, "--force")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("history ")
    assert said[1].endswith(f" ends at position {database.with_suffix('.wal').stat().st_size}")
    run("exec", "--db", paths.database, "INSERT INTO t VALUES (7)", "SELECT a FROM t")
    run("promote", "--db", paths.database, "--force", code=78)


def test_nobody_is_there_to_skip(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("skip", "--db", copy_of(database, tmp_path).database, "5", "0a1b2c3d", code=69)
    assert "no server of" in capsys.readouterr().err


def test_a_primary_has_nothing_to_skip(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = DatabasePaths.of(database)
    with answering(paths.control_socket, {"error": "a server executes SHOW only"}, code=400):
        run("skip", "--db", database, "5", "0a1b2c3d", code=78)
    assert "is a primary's database" in capsys.readouterr().err


def test_a_copy_is_not_drained(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copy_of(database, tmp_path).database
    run("drain", "--db", copy, code=78)
    assert f"{copy} is a follower's copy: drain the primary" in capsys.readouterr().err


# -- follow ---------------------------------------------------------------------------------------------------


def test_a_database_that_a_server_has_open_does_not_follow(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even the server that is named: a new primary does not become a follower of itself."""
    paths = DatabasePaths.of(database)
    log = paths.wal.read_bytes()
    with answering(paths.control_socket, {"role": "master"}) as url:
        run("follow", "--db", database, "--http", url, code=75)
    assert f"a master of {database} runs: stop it first" in capsys.readouterr().err
    assert paths.wal.read_bytes() == log


def test_to_follow_twice_is_to_follow(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever is not sure whether it was done types it again."""
    histories = [{"id": "0" * 32, "offset": 0, "stop": None}]
    status = {"role": "master", "histories": histories, "positions": {"durable": 5}}
    words = "follow", "--db", database, "--http", f"unix:{tmp_path}/new"
    with answering(tmp_path / "new", status, status):
        run(*words, "--resnapshot")
        first = capsys.readouterr().out.splitlines()
        run(*words)
    assert first[-1] == f"{database} begins with a fresh snapshot when it is started as a follower"
    assert capsys.readouterr().out.splitlines() == first[-1:]
    assert not database.with_suffix(".wal.old-2").exists()

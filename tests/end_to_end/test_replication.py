"""Masters and followers as users run them: rows written on one side are read on the other, whatever is killed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from spgrepl.log.format.records import RecordType, encode_v2, encode_v3
from spgrepl.log.reader import Damage, scan_log
from tests.end_to_end.conftest import Server, Start, run_command, until

LOCAL = "127.0.0.1:0"
VECTORS = Path(__file__).parent.parent / "vectors"


def follower_of(make: Start, master: Server | int, name: str = "follower", *words: object) -> Server:
    port = master if isinstance(master, int) else master.port()
    return make(name, "follower", "--master", f"127.0.0.1:{port}", *words)


def rows(server: Server, sql: str = "SELECT * FROM t ORDER BY 1") -> list[Any]:
    with closing(sqlite3.connect(server.database)) as connection:
        return connection.execute(sql).fetchall()


def insert_many(first: int, last: int) -> list[str]:
    return [f"INSERT INTO t VALUES ({number}, 'row {number}')" for number in range(first, last)]


def test_rows_written_on_the_master_are_read_on_the_follower(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    assert rows(master, "SELECT name FROM sqlite_master WHERE name = 't'") == []
    follower = follower_of(make, master).start()
    position = master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", "INSERT INTO t VALUES (1, 'eins')")
    follower.wait(position)
    assert rows(follower) == [(1, "eins")]
    position = master.execute(
        "BEGIN; INSERT INTO t VALUES (2, 'zwei'); UPDATE t SET b = 'uno' WHERE a = 1; COMMIT"
    )
    follower.wait(position)
    assert rows(follower) == [(1, "uno"), (2, "zwei")]
    follower.same_as(master)


def test_the_status_of_both_sides(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    follower = follower_of(make, master).start()
    position = master.execute("CREATE TABLE t (a, b)", *insert_many(0, 10))
    master.wait(position)
    follower.wait(position)
    status = until(lambda: (now := follower.status())["lag"]["bytes"] == 0 and now, follower.status)
    assert status["role"] == "follower"
    assert status["state"] == "streaming"
    assert status["positions"] == dict.fromkeys(("source", "received", "durable", "applied"), position)
    assert 0 <= status["lag"]["seconds"] < 10
    assert (status["error"], status["peers"], status["digest"]) == (None, [], None)
    status = master.status()
    assert (status["role"], status["state"], status["error"]) == ("master", "serving", None)
    assert status["positions"] == {"source": position, "received": None, "durable": position, "applied": position}
    assert len(status["peers"]) == 1


def test_a_follower_may_be_there_first(make: Start, free_port: int) -> None:
    follower = follower_of(make, free_port).start()
    assert follower.status()["positions"]["applied"] is None
    until(lambda: follower.status()["error"], follower.status)
    master = make("master", "master", "--listen", f"127.0.0.1:{free_port}").start()
    follower.wait(master.execute("CREATE TABLE t (a, b)", *insert_many(0, 3)))
    follower.same_as(master)


def test_either_side_may_be_killed_and_started_again(make: Start, free_port: int) -> None:
    master = make("master", "master", "--listen", f"127.0.0.1:{free_port}").start()
    follower = follower_of(make, free_port).start()
    follower.wait(master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(0, 20)))
    follower.kill()
    position = master.execute(*insert_many(20, 40))
    follower.start()
    follower.wait(position)
    master.kill()
    position = master.execute(*insert_many(40, 60))
    assert follower.status()["positions"]["applied"] < position
    master.start()
    follower.wait(position)
    assert follower.same_as(master).rows == 60
    # It resumed, both times: a fresh snapshot would have moved the base.
    assert follower.status()["base"] == 0
    assert scan_log(follower.wal).damage is Damage.NONE
    assert follower.wal.read_bytes() == master.wal.read_bytes()


def test_servers_that_are_asked_to_end_do_so_and_resume_later(make: Start, free_port: int) -> None:
    master = make("master", "master", "--listen", f"127.0.0.1:{free_port}").start()
    follower = follower_of(make, free_port).start()
    follower.wait(master.execute("CREATE TABLE t (a, b)", *insert_many(0, 5)))
    for server in (follower, master):
        server.stop()
        assert "Traceback" not in server.output()
        assert "Main loop terminated" in server.output() or "Server Shut Down" in server.output()
    position = master.execute(*insert_many(5, 10))
    master.start()
    follower.start()
    follower.wait(position)
    follower.same_as(master)


def test_a_follower_ends_while_another_program_holds_its_copy(make: Start, free_port: int) -> None:
    """SIGTERM is not put off until the lock is let go, or the patience with it is over, which takes 30 s."""
    master = make("master", "master", "--listen", f"127.0.0.1:{free_port}").start()
    follower = follower_of(make, free_port).start()
    follower.wait(master.execute("CREATE TABLE t (a, b)"))
    with closing(sqlite3.connect(follower.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        position = master.execute(*insert_many(0, 5))
        until(lambda: follower.status()["positions"]["received"] == position, follower.output)
        follower.stop(deadline=20)
    follower.start()
    follower.wait(position)
    follower.same_as(master)


def test_a_cascade(make: Start) -> None:
    """A follower of a follower gets the same rows, through a log that begins at a snapshot."""
    master = make("master", "master", "--listen", LOCAL).start()
    position = master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(0, 20))
    middle = follower_of(make, master, "middle", "--listen", LOCAL).start()
    middle.wait(position)
    base = middle.status()["base"]
    assert base == position
    last = follower_of(make, middle, "last").start()
    position = master.execute(*insert_many(20, 40), "CREATE TABLE u (x)")
    middle.wait(position)
    last.wait(position - base)
    last.same_as(master)
    last.kill()
    middle.kill()
    position = master.execute(*insert_many(40, 60))
    middle.start()
    middle.wait(position)
    middle.same_as(master)


def test_a_cascade_resumes(make: Start, free_port: int) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    middle = follower_of(make, master, "middle", "--listen", f"127.0.0.1:{free_port}").start()
    last = follower_of(make, free_port, "last").start()
    last.wait(master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(0, 20)))
    last.kill()
    middle.kill()
    position = master.execute(*insert_many(20, 40))
    last.start()
    middle.start()
    last.wait(position)
    last.same_as(master)


def test_an_archive_keeps_every_byte(make: Start) -> None:
    """A log and snapshot of an SPG server are served as they are, kept as they are, and served again."""
    source = make("source", "master", "--listen", LOCAL, "--engine", "archive")
    source.database.write_bytes((VECTORS / "snapshot.bin").read_bytes())
    source.wal.write_bytes((VECTORS / "mixed.wal").read_bytes())
    source.start()
    archive = follower_of(make, source, "archive", "--engine", "archive", "--listen", LOCAL).start()
    again = follower_of(make, archive, "again", "--engine", "archive").start()
    for server in (archive, again):
        server.wait(622)
        assert server.database.read_bytes() == (VECTORS / "snapshot.bin").read_bytes()
        assert server.wal.read_bytes() == (VECTORS / "mixed.wal").read_bytes()
    more = (
        encode_v2(b"BEGIN")
        + encode_v3(RecordType.SQL, b"INSERT INTO t1 VALUES (5, 'five')")
        + encode_v2(b"COMMIT")
    )
    with source.wal.open("ab") as log:
        log.write(more)
    again.wait(622 + len(more))
    assert again.wal.read_bytes() == source.wal.read_bytes()


def test_a_counting_follower_counts(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    counting = follower_of(make, master, "counting", "--engine", "counting").start()
    # It has the snapshot of an empty database behind it before there is something to count.
    until(lambda: counting.applied() is not None, counting.status)
    position = master.execute("CREATE TABLE t (a, b)", *insert_many(0, 9))
    counting.wait(position)
    status = counting.status()
    assert status["statements"] == 11  # one of them says that the log holds rows
    assert len(status["digest"]) == 8
    assert not counting.database.exists()


def test_a_master_with_another_history_ends_the_follower_with_76(make: Start, free_port: int) -> None:
    one = make("one", "master", "--listen", f"127.0.0.1:{free_port}").start()
    follower = follower_of(make, free_port).start()
    follower.wait(one.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(0, 30)))
    one.stop()
    other = make("other", "master", "--listen", f"127.0.0.1:{free_port}")
    other.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(100, 140))
    other.start()
    assert follower.exit_code() == 76
    assert "giving up, exit code 76" in follower.output()
    assert len(rows(follower)) == 30
    follower.launch()
    assert follower.exit_code() == 76


def test_a_follower_that_was_told_so_takes_the_other_history(make: Start, free_port: int) -> None:
    one = make("one", "master", "--listen", f"127.0.0.1:{free_port}").start()
    follower = follower_of(make, free_port, "follower", "--on-divergence", "resnapshot").start()
    follower.wait(one.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(0, 30)))
    one.stop()
    other = make("other", "master", "--listen", f"127.0.0.1:{free_port}")
    position = other.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", *insert_many(100, 140))
    other.start()
    until(lambda: follower.applied() == position and rows(follower)[0][0] == 100, follower.status)
    follower.same_as(other)


def test_a_refused_record_stops_replay_and_can_be_passed_over(make: Start) -> None:
    """The master serves a log that somebody else writes, with a statement that no engine takes."""
    source = make("source", "master", "--listen", LOCAL)
    source.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
    source.start()
    follower = follower_of(make, source).start()
    until(lambda: follower.applied() is not None, follower.status)
    at = source.wal.stat().st_size
    refused = encode_v3(RecordType.SQL, b"INSERT INTO nowhere VALUES (1)")
    with source.wal.open("ab") as log:
        log.write(refused + encode_v3(RecordType.SQL, b"INSERT INTO t VALUES (7, 'after')"))
    end = source.wal.stat().st_size
    error = until(lambda: follower.status()["error"], follower.status)
    crc = int.from_bytes(refused[4:8], "little")
    assert f"position {at}, CRC {crc:08x}" in error
    assert "INSERT INTO nowhere" in error
    assert follower.applied() == at
    follower.stop()
    follower.start("--skip-at", at, "--skip-crc", f"{crc:08x}")
    follower.wait(end)
    assert rows(follower) == [(7, "after")]


def test_a_second_follower_of_the_same_files_is_refused(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    follower = follower_of(make, master).start()
    until(lambda: follower.applied() is not None, follower.status)
    second = make("second", "follower", "--master", f"127.0.0.1:{master.port()}")
    second._words[second._words.index("--db") + 1] = str(follower.database)
    second.launch()
    assert second.exit_code() == 75
    assert "is held by process" in second.output()


def test_an_address_in_use_ends_the_process(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    second = make("second", "master", "--listen", f"127.0.0.1:{master.port()}")
    second.launch()
    assert second.exit_code() == 78
    assert "cannot listen for followers" in second.output()


@pytest.mark.parametrize(
    ("words", "code"), [(["fly"], 64), (["master", "--listen", "h:1", "--db", "/none/a.db"], 78)]
)
def test_what_cannot_run_ends_with_a_code_of_sysexits(make: Start, words: list[str], code: int) -> None:
    server = make("server", *words)
    server._words = words
    server.launch()
    assert server.exit_code() == code
    assert "Traceback" not in server.output()


def test_the_logs_of_both_sides_verify(make: Start) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    follower = follower_of(make, master).start()
    follower.wait(master.execute("CREATE TABLE t (a, b)", *insert_many(0, 50)))
    for server in (master, follower):
        assert "open transaction  none" in run_command("wal", "verify", server.wal)
    assert run_command("compare", master.database, follower.database).startswith("equal: 1 table, 50 rows")

"""A primary is killed under load, a follower is promoted by command, and what was lost is counted."""

from __future__ import annotations

import contextlib
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from spgrepl.server.status.client import ask
from tests.end_to_end.conftest import Server, Start, environment, run_command, until

PROGRAM = Path(__file__).parent / "loaded_primary.py"
ROOT = PROGRAM.parents[3]


def ids(database: Path) -> set[int]:
    """The numbers of the rows in a database that no process writes."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return {number for (number,) in connection.execute("SELECT id FROM entries")}


def role_of(server: Server) -> str:
    code, status = ask(server.http, "/status")
    return str(status["role"]) if code == 200 else ""


class Failed:
    """A primary that was killed under load, with a follower that stood still meanwhile, and one of that.

    Attributes:
        folder: Where the primary's files are.
        address: Where the first follower serves.
    """

    def __init__(self, make: Start, tmp_path: Path) -> None:
        self.folder = tmp_path / "old"
        self.folder.mkdir()
        self.address = f"unix:{tmp_path}/relay-socket"
        self._acks = tmp_path / "acks"
        socket = self.folder / "socket"
        with self._acks.open("wb") as acks:
            command = [sys.executable, str(PROGRAM), str(self.database), f"unix:{socket}"]
            primary = subprocess.Popen(command, stdout=acks, cwd=ROOT, env=environment())
        try:
            until(socket.exists)
            self.relay = make("relay", "follower", "--master", f"unix:{socket}", "--listen", self.address).start()
            self.leaf = make("leaf", "follower", "--master", self.address).start()
            until(lambda: (self.leaf.applied() or 0) > 300_000, self.leaf.output)
            # While it stands still, rows are acknowledged that do not fit into any buffer on their way.
            self._send(signal.SIGSTOP)
            size = self._log_size()
            until(lambda: self._log_size() > size + 3_000_000)
        finally:
            primary.kill()
            primary.wait()
        self._send(signal.SIGCONT)
        until(lambda: self.relay.status()["state"] == "waiting", self.relay.output)

    @property
    def database(self) -> Path:
        return self.folder / "data.db"

    @property
    def acknowledged(self) -> set[int]:
        found = re.findall(rb"^ack (\d+)$", self._acks.read_bytes(), re.MULTILINE)
        return {int(number) for number in found}

    def _log_size(self) -> int:
        return (self.folder / "data.wal").stat().st_size

    def _send(self, sent: signal.Signals) -> None:
        assert self.relay._process is not None
        self.relay._process.send_signal(sent)


def promote(failed: Failed) -> str:
    """Promote the follower, by force where it knows that it is behind, and return the token."""
    words = ("promote", "--db", failed.relay.database)
    # It may go on with what has come, until it is asked: it says itself whether it is behind.
    command = [sys.executable, "-m", "spgrepl", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)
    printed = done.stdout
    if done.returncode == 77:
        assert "may lack something" in done.stderr
        printed = run_command(*words, "--force")
    else:
        assert done.returncode == 0, done.stderr
    token = printed.splitlines()[-1]
    assert re.fullmatch(r"\d+@[0-9a-f]{32}", token)
    until(lambda: role_of(failed.relay) == "master", failed.relay.output)
    return token


def count_lost(failed: Failed) -> None:
    """Let the old primary follow, and see that what is listed is what was not streamed."""
    told = run_command("follow", "--db", failed.database, "--http", failed.relay.http)
    found = re.search(r"were not shared: they are listed in (\S+)", told)
    assert found is not None, told
    listed = re.findall(r"^INSERT INTO entries\(id,body\)VALUES\((\d+),", Path(found[1]).read_text(), re.MULTILINE)
    lost = {int(number) for number in listed}
    assert len(lost) == len(listed) > 0
    kept, had = ids(failed.relay.database), ids(failed.database)
    kept = {number for number in kept if number > 0}
    assert not lost & kept
    assert lost | kept == had
    assert failed.acknowledged <= had
    assert "begins with a fresh snapshot" in told


def test_what_is_lost_is_what_was_not_streamed_and_nothing_else(make: Start, tmp_path: Path) -> None:
    failed = Failed(make, tmp_path)
    relay, leaf = failed.relay, failed.leaf
    token = promote(failed)
    relay.execute("INSERT INTO entries VALUES (-1, 'after')")
    leaf.wait(relay.status()["positions"]["durable"])
    assert relay.status()["snapshots"]["made"] == 0
    assert run_command("wait", "--http", leaf.http, "--timeout", 30, token)
    count_lost(failed)

    # The old primary comes back as a follower, in a folder of its own.
    again = make("again", "follower", "--master", failed.address)
    for file in failed.folder.iterdir():
        if file.name.startswith("data."):
            file.rename(again.folder / file.name)
    again.start()
    again.wait(relay.execute("INSERT INTO entries VALUES (-2, 'after')"))
    leaf.wait(relay.status()["positions"]["durable"])
    for server in (leaf, again):
        server.same_as(relay)
    relay.stop()


def test_a_promotion_is_told_where_nobody_is_served_after_it(make: Start) -> None:
    """The follower's process ends then; whoever has ordered it has the answer first."""
    master = make("old", "master", "--listen", "127.0.0.1:0").start()
    follower = make("copy", "follower", "--master", f"127.0.0.1:{master.port()}").start()
    follower.wait(master.execute("CREATE TABLE t (a)"))
    command = [sys.executable, "-m", "spgrepl", "promote", "--db", str(follower.database)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"history \S+ begins\nhistory \S+ ends at position \d+\n\d+@\S+\n", done.stdout)
    assert f"nothing serves {follower.database} now" in done.stderr
    assert follower.exit_code() == 0

"""``twistd spgrepl run``: three roles in one process, SIGHUP, systemd's notify socket and its activation."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from tests.end_to_end.conftest import TWISTD, environment, run_command, until

COMMAND = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "spgrepl", "run", "--config", "c.toml"]


class Process:
    """A process that runs what a file in its folder says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http = StatusAddress(path=str(folder / "http"))
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.notify.setblocking(False)
        self.told: list[str] = []
        self._output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def write(self, text: str) -> None:
        (self.folder / "c.toml").write_text(text)

    def start(self, command: list[str] = COMMAND, **more: str) -> None:
        known = {**environment(), "NOTIFY_SOCKET": str(self.folder / "notify"), **more}
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=output, stderr=output, env=known)

    def output(self) -> str:
        return self._output.read_text()

    def roles(self) -> dict[str, Any]:
        try:
            _, found = ask(self.http, "/status")
        except ServerUnreachable:
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            return {}
        return {role["name"]: role for role in found["roles"]}

    def state(self, name: str) -> str | None:
        role = self.roles().get(name)
        return None if role is None else str(role["state"])

    def tells(self, text: str) -> bool:
        try:
            while True:
                self.told.append(self.notify.recv(65536).decode())
        except BlockingIOError:
            return any(text in message for message in self.told)

    def close(self) -> None:
        self.notify.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path)
    yield made
    made.close()


MASTER = '[process]\nhttp = "unix:{0}/http"\n[[master]]\nname = "main"\ndb = "main.db"\nlisten = "unix:{0}/s"\n'
COPY = '[[follower]]\nname = "copy"\ndb = "copy.db"\nmaster = "unix:{0}/s"\n'
REPORTS = '[[subscriber]]\nname = "reports"\ndb = "reports.db"\nmaster = "unix:{0}/s"\nall-tables = true\n'


def count(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_three_roles_in_one_process(process: Process) -> None:
    """Rows go from one to the others; SIGHUP starts and stops roles, and the others stream on; systemd is told."""
    folder = process.folder
    process.write((MASTER + 'wal-level = "logical"\n' + COPY + REPORTS).format(folder))
    run_command("config", "check", folder / "c.toml")
    process.start(WATCHDOG_USEC="3000000")
    until(lambda: process.tells("READY=1"), process.output)
    until(lambda: process.state("reports") == "streaming", process.output)
    run_command(
        "exec", "--db", folder / "main.db", "CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)"
    )
    until(lambda: process.roles()["copy"]["rows"].get("t") == {"insert": 1}, process.output)
    until(lambda: count(folder / "copy.db") == 1)
    said = run_command("status", process.http)
    assert all(f" {name} at " in said for name in ("main", "copy", "reports"))
    until(lambda: process.tells("WATCHDOG=1"))
    until(lambda: process.tells("follower copy: streaming, lag 0 bytes, 0 s"), lambda: process.told)
    before = process.roles()["copy"]["reconnects"]
    process.write((MASTER + 'wal-level = "logical"\n' + COPY).format(folder))
    assert process.process is not None
    process.process.send_signal(signal.SIGHUP)
    until(lambda: set(process.roles()) == {"main", "copy"}, process.output)
    until(lambda: process.tells("RELOADING=1"))
    process.write("[[nonsense]]\n")
    process.process.send_signal(signal.SIGHUP)
    until(lambda: "c.toml:1: [nonsense]: there is no such table" in process.output(), process.output)
    run_command("exec", "--db", folder / "main.db", "INSERT INTO t VALUES (2)")
    until(lambda: process.roles()["copy"]["rows"].get("t") == {"insert": 2}, process.output)
    assert process.roles()["copy"]["reconnects"] == before
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(60) == -signal.SIGTERM  # twistd ends as it was told to
    assert process.tells("STOPPING=1")


HANGUP_WHILE_LOADING = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Hangup(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "spgrepl.process.configuration":
            os.kill(os.getpid(), signal.SIGHUP)

sys.meta_path.insert(0, Hangup())
"""


def test_sighup_before_the_service_starts(process: Process) -> None:
    """It does not end the process: the file is read again when it has started."""
    process.write(MASTER.format(process.folder))
    process.start([sys.executable, "-c", f"{HANGUP_WHILE_LOADING}\n{TWISTD}", *COMMAND[3:]])
    until(lambda: "was read again: 1 role goes on" in process.output(), process.output)
    assert set(process.roles()) == {"main"}


def test_the_example_runs(process: Process) -> None:
    """contrib/spgrepl.toml, but for ports: each role has what the ones before it give."""
    example = (Path(__file__).parent.parent.parent / "contrib" / "spgrepl.toml").read_text()
    for port in (8080, 7433, 7434):
        example = example.replace(f"127.0.0.1:{port}", f"unix:{process.folder}/{port}")
    process.http = StatusAddress(path=str(process.folder / "8080"))
    process.write(example)
    database = process.folder / "notes.db"
    run_command(
        "exec",
        "--db",
        database,
        "CREATE TABLE t (a INTEGER PRIMARY KEY)",
        "CREATE PUBLICATION reports FOR TABLE t",
    )
    process.start()
    until(lambda: process.state("reports") == "streaming", process.output)
    run_command("exec", "--db", database, "INSERT INTO t VALUES (1)")
    until(lambda: count(process.folder / "reports.db") == 1, process.output)
    assert process.state("copy") == "streaming"


def test_a_mistake_ends_with_78(process: Process) -> None:
    process.write("[[master]]\nname = 'a'\nlisten = 'unix:/x'\n")
    said = run_command("config", "check", process.folder / "c.toml", code=78)
    assert "c.toml:1: [master] db: --db is missing" in said
    process.start()
    assert process.process is not None
    assert process.process.wait(60) == 78
    assert "c.toml:1: [master] db: --db is missing" in process.output()


@pytest.mark.skipif(which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_systemd_listens_for_it(process: Process) -> None:
    folder = process.folder
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process.write(
        MASTER.format(folder).replace(f'"unix:{folder}/s"', '"systemd:domain=INET:index=0"')
        + COPY.replace('"unix:{0}/s"', f'"127.0.0.1:{port}"')
    )
    known = [f"--setenv={name}" for name in os.environ]
    process.start(
        ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=followers", *known, *COMMAND]
    )
    # Its first caller is what starts it.
    until(lambda: _called(port))
    until(lambda: process.state("copy") == "streaming", process.output)
    assert process.roles()["main"]["connections"] >= 1
    # The role is started again, on the same socket.
    text = (folder / "c.toml").read_text()
    process.write(text.replace('db = "main.db"\n', 'db = "main.db"\npeer = ["berlin=10.1.2.3"]\n'))
    assert process.process is not None
    process.process.send_signal(signal.SIGHUP)
    until(lambda: any(peer["name"] == "berlin" for peer in process.roles().get("main", {}).get("peers") or ()))
    until(lambda: process.roles()["main"]["connections"] >= 1, process.output)
    until(lambda: process.state("copy") == "streaming", process.output)
    # Without systemd there is no such socket; the file is right nevertheless.
    run_command("config", "check", folder / "c.toml")


def _called(port: int) -> bool:
    with suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False

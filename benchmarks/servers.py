"""Real ``twistd`` processes, and questions to them. Whatever happens, none is left behind."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.logs import append, create_table
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask

_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
START_SECONDS = 30.0


class BenchmarkFailed(Exception):
    """A server did not do what is measured here."""


class Server:
    """A running server.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, process: subprocess.Popen[bytes], address: StatusAddress, output: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._address = address
        self._output = output

    def status(self) -> dict[str, Any] | None:
        """What ``/status`` says; None while nobody answers."""
        if self._process.poll() is not None:
            raise BenchmarkFailed(f"a server ended: {self._output.read_text()[-2000:]}")
        try:
            return ask(self._address, "/status")[1]
        except ServerUnreachable:
            return None

    def wait_until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = START_SECONDS) -> None:
        """Ask for the status until it fulfils a condition."""
        ends = time.monotonic() + seconds
        while True:
            status = self.status()
            if status is not None and condition(status):
                return
            if time.monotonic() > ends:
                raise BenchmarkFailed(f"no such status within {seconds} s; the last one is {status}")
            time.sleep(0.02)

    def wait_applied(self, position: int, seconds: float = 300.0) -> None:
        """Wait until everything up to a position is applied; the server tells at once when it is."""
        code, answer = ask(self._address, f"/wait?position={position}&timeout={seconds}", seconds + 10)
        if code != 200:
            raise BenchmarkFailed(f"position {position} was not reached: {answer}")

    def memory(self, field: str) -> float:
        """A line of the kernel's ``status`` of the process, such as VmRSS, in MiB."""
        return memory_of(self.pid, field)

    def cpu_seconds(self) -> float:
        """The processor time that the process has used, in user and system mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int, field: str) -> float:
    """A line of the kernel's ``status`` of a process, such as VmRSS, in MiB.

    The peak is VmHWM: that of `getrusage` begins with what the process that started this one had.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise BenchmarkFailed(f"the kernel does not say {field} of process {pid}")


@contextlib.contextmanager
def server(folder: Path, role: str, *words: str) -> Iterator[Server]:
    """Run ``twistd spgrepl`` in a role for as long as the context lasts.

    Args:
        folder: Where to keep its output and its status socket.
        role: ``master`` or ``follower``.
        words: Its options, without ``--http``.
    """
    http, output = folder / f"{role}.http", folder / f"{role}.log"
    command = [
        sys.executable,
        "-c",
        _TWISTD,
        "-n",
        "--pidfile=",
        "spgrepl",
        role,
        *words,
        "--http",
        f"unix:{http}",
    ]
    with open(output, "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ))
    try:
        yield Server(process, StatusAddress(path=str(http)), output)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A TCP port of the loopback interface that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def pair(folder: Path, engine: str) -> Iterator[tuple[Server, Path]]:
    """A master whose log has one CREATE TABLE, and a follower that streams from it over TCP.

    Args:
        folder: An empty folder for all files.
        engine: The follower's engine.

    Yields:
        The follower, and the master's log.
    """
    port, log = free_port(), folder / "master.wal"
    address = f"tcp:{port}:interface=127.0.0.1"
    follows = ("--master", f"tcp:127.0.0.1:{port}", "--db", str(folder / "copy.db"), "--engine", engine)
    with server(folder, "master", "--listen", address, "--db", str(folder / "master.db")) as master:
        master.wait_until(lambda status: status["state"] == "serving")
        append(log, create_table())
        with server(folder, "follower", *follows) as follower:
            length = log.stat().st_size
            follower.wait_until(
                lambda status: status["state"] == "streaming" and status["positions"]["applied"] == length
            )
            yield follower, log

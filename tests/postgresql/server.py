"""A real PostgreSQL for tests: made and ended by them, run by an unprivileged user, on a socket of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

PATIENCE = 60.0


def find_programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent, Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((one for one in folders if (one / "initdb").exists() and (one / "postgres").exists()), None)


@contextlib.contextmanager
def made_server(**settings: str) -> Iterator[PostgresServer]:
    """A cluster of one's own, not started yet; the test is skipped where there is no PostgreSQL."""
    programs = find_programs()
    if programs is None:
        raise SkipTest("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresServer(programs, **settings)
    try:
        yield server.make()
    finally:
        server.remove()


def _unprivileged() -> dict[str, Any]:
    """As whom to run: PostgreSQL does not run as root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return {}


class PostgresServer:
    """One cluster of PostgreSQL, in a folder of its own.

    Args:
        programs: The folder of its programs.
        folder: Where to put it; None for one that is made, and removed with it.
        settings: Settings beside those for tests.
    """

    def __init__(self, programs: Path, folder: Path | None = None, **settings: str) -> None:
        self._programs = programs
        self._remove = folder is None
        # Sockets have short names, and another user has to reach the folder.
        self.folder = Path(tempfile.mkdtemp(prefix="spgpg-")) if folder is None else folder
        self._as = _unprivileged()
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self.folder.chmod(0o755)
        self.data = self.folder / "data"
        self.user = "spg"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "port": "5432",
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "64MB",
            "max_wal_size": "2GB",
            "autovacuum_naptime": "1h",
            "log_min_messages": "warning",
            "max_connections": "30",
            **settings,
        }

    def run(self, program: str, *words: object, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [str(self._programs / program), *map(str, words)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **self._as,
            **more,
        )

    def make(self) -> PostgresServer:
        """Make the cluster."""
        done = self.run("initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-N", "--no-instructions")
        assert done.returncode == 0, done.stderr
        return self

    def start(self) -> PostgresServer:
        """Start it, and wait until it answers."""
        self.launch()
        self.wait()
        return self

    def launch(self) -> None:
        """Start it."""
        words = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.data), *words],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **self._as,
            )

    def wait(self) -> None:
        """Wait until it answers."""
        import psycopg

        end = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._process is not None
                assert self._process.poll() is None, (self.folder / "output").read_text()[-2000:]
                assert time.monotonic() < end, "the server does not answer"
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: fast with SIGINT, immediately with SIGQUIT."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def url(self, database: str, user: str | None = None) -> str:
        """The connection string of a database."""
        return f"postgresql://{user or self.user}@/{database}?host={self.folder}&port={self.port}"

    @property
    def port(self) -> str:
        """Its port, which is a part of its socket's name too."""
        return self._settings["port"]

    def connect(self, database: str) -> Any:
        """A connection in autocommit mode."""
        import psycopg

        return psycopg.connect(self.url(database), autocommit=True)

    def query(self, database: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement, and return its rows."""
        with self.connect(database) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def new_database(self, name: str, template: str = "template1", options: str = "") -> str:
        """Make an empty database in the place of one of that name, and return its connection string."""
        with self.connect("postgres") as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {options}')
        return self.url(name)

    def remove(self) -> None:
        """End it, and remove its folder."""
        self.stop(signal.SIGQUIT)
        if self._remove:
            shutil.rmtree(self.folder, ignore_errors=True)

"""The commands of the documents that need a PostgreSQL: from nothing to a table there, and to a whole copy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.conftest import TWISTD, free_port
from tests.postgresql.server import PostgresServer

__all__ = ["free_port"]

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "into-postgresql.md"
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "postgresql.md"
PATIENCE = 60


def commands(page: Path, marked: str = "postgresql") -> list[str]:
    found = re.search(rf"<!-- {marked} commands -->\n```sh\n(.*?)```", page.read_text(), re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def test_the_guide_and_the_readme_say_the_same() -> None:
    assert commands(PAGE) == commands(README)


class Shell:
    """Types commands in a folder, for a server.

    Args:
        folder: The folder, which gets the package's programs below ``.venv/bin``.
        postgres: The server.
    """

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self._folder = folder
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, words in (("spgrepl", "-m spgrepl"), ("twistd", f'-c "{TWISTD}"')):
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            script.chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PGHOST": str(postgres.folder), "PGUSER": postgres.user, "PATH": path}

    @contextmanager
    def typed(self, lines: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run lines, and end what they have started with the block."""
        with (self._folder / "output").open("wb") as output:
            shell = subprocess.Popen(
                ["bash", "-c", "\n".join([*lines, "wait"])],
                cwd=self._folder,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield shell
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()

    def shown(self, line: str, shell: subprocess.Popen[bytes]) -> str:
        """Type a line until it succeeds, and return what it prints."""
        ends = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            if done.returncode == 0:
                return done.stdout
            output = (self._folder / "output").read_text()
            assert shell.poll() is None, output
            assert time.monotonic() < ends, output + done.stderr
            time.sleep(0.1)


def test_five_commands_make_a_table_in_postgresql(
    tmp_path: Path, postgres: PostgresServer, free_port: int
) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    install, *others = commands(README)
    # This very package is what the first one installs; CI does it in a bare clone.
    assert install == "python3 -m venv .venv && .venv/bin/pip install '.[postgresql]'"
    assert len(others) == 4
    *makers, last = [one.replace("7433", str(free_port)) for one in others]
    shell = Shell(tmp_path, postgres)
    try:
        with shell.typed(makers) as running:
            shown = shell.shown(last, running)
        assert shown.split() == ["id", "|", "name", "----+------", "1", "|", "one", "(1", "row)"]
    finally:
        for statement in ("DROP TABLE IF EXISTS t", "DROP SCHEMA IF EXISTS spgrepl CASCADE"):
            postgres.query("postgres", statement)


def test_a_subscription_and_a_whole_copy_of_a_role_that_owns_two_databases(
    tmp_path: Path, postgres: PostgresServer, free_port: int
) -> None:
    """The commands that the reference begins with, on a master as the guide makes it."""
    *servers, compare = [one.replace("7433", str(free_port)) for one in commands(REFERENCE, "reference")]
    assert [one.split()[:5] for one in servers] == [
        ["twistd", "-n", "--pidfile=", "spgrepl", role] for role in ("subscriber", "follower")
    ]
    makers = [one.replace("7433", str(free_port)) for one in commands(README)[1:3]]
    postgres.query("postgres", "CREATE ROLE app LOGIN")
    try:
        for name in ("reports", "copy"):
            postgres.query("postgres", f"CREATE DATABASE {name} OWNER app")
        shell = Shell(tmp_path, postgres)
        with shell.typed([*makers, *(f"{one} &" for one in servers)]) as running:
            assert shell.shown(compare, running) == "equal: 1 table, 1 row\n"
            subscribed = compare.replace("/copy", "/reports --table t")
            assert shell.shown(subscribed, running) == "equal: 1 table, 1 row\n"
    finally:
        for statement in ("DROP DATABASE IF EXISTS reports (FORCE)", "DROP DATABASE IF EXISTS copy (FORCE)"):
            postgres.query("postgres", statement)
        postgres.query("postgres", "DROP ROLE app")

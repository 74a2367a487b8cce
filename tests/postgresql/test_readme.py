"""The way of the documents from nothing to a table in PostgreSQL, in five commands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.end_to_end.conftest import TWISTD, free_port
from tests.postgresql.server import PostgresServer

__all__ = ["free_port"]

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "howto" / "into-postgresql.md"
README = ROOT / "README.md"
PATIENCE = 60


def commands(page: Path) -> list[str]:
    found = re.search(r"<!-- postgresql commands -->\n```sh\n(.*?)```", page.read_text(), re.DOTALL)
    assert found is not None
    return found[1].splitlines()


def test_the_guide_and_the_readme_say_the_same() -> None:
    assert commands(PAGE) == commands(README)


def test_five_commands_make_a_table_in_postgresql(
    tmp_path: Path, postgres: PostgresServer, free_port: int
) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    install, *others = commands(README)
    # This very package is what the first one installs; CI does it in a bare clone.
    assert install == "python3 -m venv .venv && .venv/bin/pip install '.[postgresql]'"
    assert len(others) == 4
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    programs = {"spgrepl": "-m spgrepl", "twistd": f'-c "{TWISTD}"'}
    for name, words in programs.items():
        script = tmp_path / ".venv" / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    environment = {**os.environ, "PGHOST": str(postgres.folder), "PGUSER": postgres.user}
    *makers, shown = [one.replace("7433", str(free_port)) for one in others]
    with (tmp_path / "output").open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", "\n".join([*makers, "wait"])],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        ends = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                ["bash", "-c", shown], env=environment, capture_output=True, text=True, timeout=60
            )
            if done.returncode == 0:
                break
            assert shell.poll() is None, (tmp_path / "output").read_text()
            assert time.monotonic() < ends, (tmp_path / "output").read_text() + done.stderr
            time.sleep(0.1)
        assert done.stdout.split() == ["id", "|", "name", "----+------", "1", "|", "one", "(1", "row)"]
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
        for statement in ("DROP TABLE IF EXISTS t", "DROP SCHEMA IF EXISTS spgrepl CASCADE"):
            postgres.query("postgres", statement)

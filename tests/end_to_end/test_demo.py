"""``spgrepl demo`` as a user runs it: it ends well, says when copies differ, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "spgrepl", "demo", "--seconds", "1.5"]

SPOILED = """
import sqlite3, sys
from spgrepl.cli import demo, main

compare = demo.compare_databases

def spoil(first, second, tables=None):
    with sqlite3.connect(second) as connection:
        connection.execute("UPDATE readings SET celsius = 99 WHERE id = (SELECT min(id) FROM readings)")
    return compare(first, second, tables)

demo.compare_databases = spoil
sys.exit(main(["demo", "--seconds", "1"]))
"""

WITHOUT_SERVERS = """
import sys
from spgrepl.cli import main
from spgrepl.cli.parts import processes

processes._TWISTD = "raise SystemExit('no server today')"
sys.exit(main(["demo", "--seconds", "1"]))
"""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}


def processes_of(folder: Path) -> list[str]:
    """The command lines that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in line:
            found.append(line.decode())
    return found


def demonstrate(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, env=environment(folder), capture_output=True, text=True, timeout=120)
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for the demonstration's own one, with a path short enough for sockets."""
    made = tmp_path / "d"
    made.mkdir()
    return made


def test_the_demonstration_ends_with_equal_databases(folder: Path) -> None:
    done = demonstrate(DEMO, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the follower and the subscriber were killed with SIGKILL" in done.stdout
    assert "bytes behind: it catches up" in done.stdout
    assert "rows/s" in done.stdout
    assert "master and follower are equal: 2 tables, " in done.stdout
    assert "the subscriber has its 1 table, equal: " in done.stdout
    assert done.stderr == ""


def test_unequal_databases_are_exit_code_1(folder: Path) -> None:
    done = demonstrate([sys.executable, "-c", SPOILED], folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "table readings, row 1: " in done.stdout
    assert "THE DATABASES DIFFER" in done.stdout


def test_a_server_that_does_not_start_is_told_with_its_last_words(folder: Path) -> None:
    done = demonstrate([sys.executable, "-c", WITHOUT_SERVERS], folder)
    assert done.returncode == 69, done.stdout + done.stderr
    assert "the demonstration failed: the master did not start" in done.stdout
    assert "no server today" in done.stdout


@pytest.mark.parametrize(
    ("when", "number"), [("start in", signal.SIGINT), ("serving", signal.SIGINT), ("SIGKILL", signal.SIGTERM)]
)
def test_an_interrupted_demonstration_cleans_up(folder: Path, when: str, number: signal.Signals) -> None:
    with subprocess.Popen([*DEMO[:-1], "6"], env=environment(folder), stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if when in line:
                demo.send_signal(number)
                break
        try:
            rest, _ = demo.communicate(timeout=30)
        finally:
            demo.kill()
        assert demo.returncode == 130, rest
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []

"""Running the test suites of other projects, and keeping the SQL that they ran."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import attrs

_TRACING = Path(__file__).parent / "tracing"


@attrs.frozen
class Suite:
    """A project whose source package holds its tests.

    Attributes:
        package: What to ask the package index for, with the version.
        tests: The tests to run, as pytest takes them.
        needs: Further packages that the tests import.
    """

    package: str
    tests: tuple[str, ...]
    needs: tuple[str, ...] = ()


SUITES = {
    "sqlite-utils": Suite("sqlite-utils==4.2.1", ("tests",), ("hypothesis",)),
    "sqlalchemy": Suite(
        "sqlalchemy==2.0.58",
        (
            "test/dialect/sqlite",
            "test/dialect/test_suite.py",
            "test/orm/test_unitofwork.py",
            "test/orm/test_unitofworkv2.py",
            "test/orm/test_cascade.py",
            "test/sql/test_insert_exec.py",
            "test/sql/test_defaults.py",
        ),
    ),
}
"""The two suites, the larger one without what has nothing to do with a database."""


@attrs.frozen
class Recorded:
    """What ran on one database.

    Attributes:
        database: The database's name.
        statements: The statements, in order, each with the number of its connection.
    """

    database: str
    statements: tuple[tuple[int, str], ...]


def record(name: str, folder: Path) -> list[Recorded]:
    """Fetch a project, run its tests, and read what they ran on SQLite.

    Args:
        name: A key of `SUITES`.
        folder: An empty folder for the project, its environment and the recording.

    Returns:
        What ran, a database each.

    Raises:
        subprocess.CalledProcessError: The package is not to be had, or its tests fail.
    """
    suite = SUITES[name]
    recording = folder / "recording"
    recording.mkdir(parents=True)
    fetch = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", suite.package]
    subprocess.run(fetch, cwd=folder, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    (source,) = (found for found in folder.iterdir() if (found / "PKG-INFO").exists())
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    python = folder / "environment/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "pytest", *suite.needs, source], check=True)
    environment = os.environ | {"SPGREPL_RECORDING": str(recording), "PYTHONPATH": str(_TRACING)}
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:logging", *suite.tests]
    subprocess.run(tests, cwd=source, env=environment, check=True, stdout=subprocess.DEVNULL)
    return list(read(recording))


def read(recording: Path) -> Iterator[Recorded]:
    """Read what `tracing/sitecustomize.py` has written into a folder."""
    found: dict[str, list[tuple[int, str]]] = {}
    for path in sorted(recording.glob("*.jsonl")):
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                database, connection, sql = json.loads(line)
                found.setdefault(database, []).append((connection, sql))
    for database, statements in found.items():
        yield Recorded(database, tuple(statements))

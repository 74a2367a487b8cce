"""What the commands of a failover have in common: files, and a server that may have them open."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from spgrepl.cli.parts import failover
from spgrepl.cli.parts.failover import add_files, paths_of, running_server
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import DatabaseMissing
from spgrepl.server.status.client import ServerUnreachable
from tests.primary.copying import opened


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_files(parser, "it")
    return parser.parse_args(words)


def test_the_log_is_beside_the_database_where_it_is_not_named(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        database = writer.paths.database
    assert paths_of(parsed("--db", str(database))).wal == database.with_suffix(".wal")
    assert paths_of(parsed("--db", str(database), "--wal", "x.log")).wal == Path("x.log")


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        paths_of(parsed("--db", str(tmp_path / "none.db")))
    assert list(tmp_path.iterdir()) == []


def test_a_log_alone_says_where_the_rows_may_be(tmp_path: Path) -> None:
    (tmp_path / "a.wal").touch()
    with pytest.raises(DatabaseMissing, match="a copy whose rows are in PostgreSQL"):
        paths_of(parsed("--db", str(tmp_path / "a.db")))


def test_the_server_that_answers_beside_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = DatabasePaths.of(tmp_path / "a.db")
    assert running_server(paths) is None
    asked: list[str] = []

    def ask(address: Any, path: str) -> tuple[int, dict[str, Any]]:
        asked.append(f"{address} {path}")
        return 200, {"state": "serving"}

    monkeypatch.setattr(failover, "ask", ask)
    assert running_server(paths) == {"role": "server", "state": "serving"}
    assert asked == [f"unix:{paths.control_socket} /status"]

    def nobody(*_: Any) -> Any:
        raise ServerUnreachable("nobody")

    monkeypatch.setattr(failover, "ask", nobody)
    assert running_server(paths) is None

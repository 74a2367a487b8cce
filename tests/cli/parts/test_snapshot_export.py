"""A snapshot written to a new database: whole under its name, or not there. More: `tests/cli/test_snapshot.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from spgrepl.cli.parts import snapshot_export
from spgrepl.cli.parts.snapshot_export import export_spg, export_sqlite
from spgrepl.errors import LocalError, SnapshotError, UsageError
from tests.primary.copying import opened, rows_of
from tests.spg import writer as w
from tests.spg.samples import put
from tests.spg.test_snapshot import rich


@pytest.fixture
def source(tmp_path: Path) -> Path:
    with opened(tmp_path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)") as writer:
        return writer.paths.database


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_copy_has_all_but_our_own_tables(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "to.db"
    assert export_sqlite(source, target) == 0
    assert "without spgrepl's own" in capsys.readouterr().out
    assert rows_of(target, "SELECT name FROM sqlite_schema") == [("t",)]
    assert rows_of(target, "SELECT a FROM t") == [(1,), (2,)]


def test_a_snapshot_of_an_spg_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, w.envelope(5, rich(100), b"", w.publications()))
    before = names(tmp_path)
    assert export_spg(path, None, tmp_path / "to.db", without_cold_rows=True) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'to.db'}: ")
    assert names(tmp_path) == before | {"to.db"}


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "to.db"
    target.symlink_to(tmp_path / "nowhere")
    before = names(tmp_path)
    with pytest.raises(UsageError, match="is there already"):
        export_sqlite(source, target)
    with pytest.raises(UsageError, match="is not a folder"):
        export_sqlite(source, tmp_path / "none" / "to.db")
    assert names(tmp_path) == before


def test_a_failure_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(tmp_path)

    def full(*_: Any) -> str:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr(snapshot_export, "quoted", full)
    with pytest.raises((LocalError, SnapshotError), match="disk is full"):
        export_sqlite(source, tmp_path / "to.db")
    assert names(tmp_path) - before <= {source.name + "-wal", source.name + "-shm"}


def test_a_source_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"x" * 4096)
    with pytest.raises(SnapshotError, match="cannot be copied"):
        export_sqlite(tmp_path / "a.db", tmp_path / "to.db")
    assert names(tmp_path) == {"a.db"}

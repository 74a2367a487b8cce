"""Commands that take long say how far they are, where nobody looks too."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.cli import main
from spgrepl.cli.parts import reading_line


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_line, "AFTER", 0.0)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); "
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000) "
            "INSERT INTO t SELECT i, 'row number ' || i FROM n"
        )
    return path


def test_a_comparison(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "b.db"
    other.write_bytes(database.read_bytes())
    assert main(["compare", str(database), str(other)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith((" 39 % ", " 40 % "))
    assert "10,000 rows" in said[0]
    assert "rows/s" in said[0]
    assert said[0].endswith(" left  table t")


def test_an_export(database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", "export", str(database), "--to", f"sqlite:{tmp_path / 'c.db'}"]) == 0
    said = capsys.readouterr().err
    assert "100 %" in said
    assert " MB/s" in said
    assert " left" in said

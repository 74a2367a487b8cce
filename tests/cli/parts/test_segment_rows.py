"""``spgrepl segments cat``; the recorded segments of all formats are in `tests/cli/test_segments.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spgrepl.cli import main
from tests.segments.samples import put
from tests.spg.samples import VECTORS
from tests.spg.writer import segment

CATALOGUE = str(VECTORS / "d_v11.catalog")


def cat(path: Path, table: str = "c") -> int:
    return main(["segments", "cat", str(path), "--table", table, "--snapshot", CATALOGUE])


def test_whether_a_row_is_alive_is_known_by_the_files_name_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (VECTORS / "d_v1.seg").read_bytes()
    put(tmp_path, {0: content, 7: content})
    (tmp_path / "other.spg").write_bytes(content)
    alive = []
    for name in ("seg_0.spg", "seg_7.spg", "other.spg"):
        assert cat(tmp_path / name) == 0
        alive.append([json.loads(line)["alive"] for line in capsys.readouterr().out.splitlines()])
    assert alive == [[True, False], [False, False], [None, None]]


def test_rows_that_do_not_fit_are_shown_as_they_are_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, {0: segment([(1, b"\0" * 3), (2, b"\xff")])})
    assert cat(tmp_path / "seg_0.spg") == 65
    out, err = capsys.readouterr()
    assert [json.loads(line)["payload"] for line in out.splitlines()] == ["000000", "ff"]
    assert err.startswith("2 rows do not fit the columns of c")


def test_what_is_no_segment_or_no_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seg_0.spg").write_bytes(b"x" * 100)
    assert cat(tmp_path / "seg_0.spg") == 65
    assert "seg_0.spg" in capsys.readouterr().err
    assert cat(VECTORS / "d_v1.seg", "nothing") == 64
    assert "has no table 'nothing'; it has c" in capsys.readouterr().err
    assert cat(tmp_path / "none.spg") == 66

"""``spgrepl snapshot show`` and ``spgrepl snapshot export``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from pathlib import Path

import apsw
import pytest

from spgrepl.cli import main
from spgrepl.cli.parts import snapshot_export
from tests.segments.samples import put as put_segments
from tests.spg import writer as w
from tests.spg.samples import VECTORS, put, snapshot_with
from tests.spg.test_snapshot import rich


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        return list(connection.execute(f'SELECT * FROM "{table}"'))


def test_show_says_what_a_snapshot_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, w.envelope(5, rich(100), b"", w.publications(("p", 2, ("a",)))))
    assert main(["snapshot", "show", str(path)]) == 0
    out = capsys.readouterr().out
    for words in (
        "SPG snapshot",
        "envelope: 5",
        "file version: 100",
        "check: CRC-32 of the envelope",
        "check: CRC-32C of the catalog",
        "table a: 2 rows, 1 dead one",
        "    n NUMERIC(10,2) DEFAULT '-0.5'",
        "    primary key (id)",
        "    not in SQLite: the check id > 0 is not enforced",
        "materialized view m: SELECT 2",
        "publication p: all tables except a",
        "sequences: 1",
    ):
        assert words in out
    assert main(["snapshot", "show", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"] == {"envelope": 5, "file_version": 100}
    assert [(table["name"], table["rows"], table["dead"]) for table in found["tables"]] == [
        ("a", 2, 1),
        ("none", 0, 0),
    ]


def test_names_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = w.table(8, "a\x1b[2Jb", [w.column("x\ny", w.u8(1))], [])
    assert main(["snapshot", "show", str(put(tmp_path, w.catalog(8, table)))]) == 0
    out = capsys.readouterr().out
    assert r"table a\x1b[2Jb: 0 rows" in out
    assert r"    x\ny INT" in out


def test_show_names_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (VECTORS / "b_v11.env5").read_bytes()
    assert main(["snapshot", "show", str(put(tmp_path, content[:-1]))]) == 65
    assert "snapshot.db, at byte" in capsys.readouterr().err
    assert main(["snapshot", "show", str(put(tmp_path, b"some text"))]) == 65
    assert "expected a snapshot of SPG, or a SQLite database" in capsys.readouterr().err
    assert main(["snapshot", "show", str(tmp_path / "none")]) == 66
    # Text that is not UTF-8 shows only when its row is decoded.
    table = w.table(8, "t", [w.column("x", w.u8(4))], [w.row(b"\1\0\xff")])
    assert main(["snapshot", "show", str(put(tmp_path, w.catalog(8, table)))]) == 65


def test_export_writes_a_private_file_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.db"
    source = VECTORS / "sweep_v100x.catalog"
    assert main(["snapshot", "export", str(source), "--to", f"sqlite:{target}"]) == 0
    out, err = capsys.readouterr()
    assert f"{target}: 2 tables, 1 row, 0 of them from segments" in out
    assert "table a: the check id > 0 is not enforced" in err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert rows(target, "a") == [(1, "hé", "-12.50", "1970-01-01 00:00:00", 1, b"\0\xff")]
    before = target.read_bytes()
    assert main(["snapshot", "export", str(source), "--to", f"sqlite:{target}"]) == 64
    assert "is there already, and nothing is overwritten" in capsys.readouterr().err
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.db"]


def test_export_with_and_without_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.db"
    command = ["snapshot", "export", str(VECTORS / "d_v11.catalog"), "--to", f"sqlite:{target}"]
    assert main(command) == 65
    assert "1 row of c: id = 1 (segment 0)" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
    assert main([*command, "--without-cold-rows"]) == 0
    assert "missing: 1 row of c: id = 1 (segment 0)" in capsys.readouterr().err
    assert rows(target, "c") == [(9, "hot")]
    target.unlink()
    put_segments(tmp_path / "segments", {0: (VECTORS / "d_v1.seg").read_bytes()})
    assert main([*command, "--segments", str(tmp_path / "segments")]) == 0
    assert "2 rows, 1 of them from segments" in capsys.readouterr().out
    assert rows(target, "c") == [(9, "hot"), (1, "one")]


def test_export_of_a_sqlite_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "in.db", tmp_path / "out.db"
    with contextlib.closing(apsw.Connection(str(source))) as connection:
        connection.pragma("journal_mode", "wal")
        connection.execute("CREATE TABLE t(a); INSERT INTO t VALUES (1); CREATE VIEW v AS SELECT 1")
        connection.execute("CREATE TABLE spgrepl_segments(a); CREATE TABLE spgrepl_spg_columns(a)")
        assert main(["snapshot", "show", str(source)]) == 0
        assert "table t: 1 row" in capsys.readouterr().out
        assert main(["snapshot", "export", str(source), "--to", f"sqlite:{target}"]) == 0
    assert "without spgrepl's own 1 table" in capsys.readouterr().out
    assert rows(target, "t") == [(1,)]
    with contextlib.closing(apsw.Connection(str(target))) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema ORDER BY name")]
    assert names == ["spgrepl_spg_columns", "t", "v"]
    assert main(["snapshot", "export", str(source), "--to", "sqlite:x", "--segments", str(tmp_path)]) == 64


@pytest.mark.parametrize("to", ["out.db", "sqlite:", "postgresql://x"])
def test_other_targets_are_refused(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", "export", str(VECTORS / "a_v8.catalog"), "--to", to]) == 64
    assert "as sqlite:FILE" in capsys.readouterr().err


def test_the_folder_of_the_new_database_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(VECTORS / "a_v8.catalog")
    assert main(["snapshot", "export", source, "--to", f"sqlite:{tmp_path}/none/x.db"]) == 64
    assert "none is not a folder" in capsys.readouterr().err


def test_a_relative_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["snapshot", "export", str(VECTORS / "a_v8.catalog"), "--to", "sqlite:x.db"]) == 0
    assert len(rows(tmp_path / "x.db", "a")) == 2


def test_a_folder_of_segments_must_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["snapshot", "export", str(VECTORS / "a_v8.catalog"), "--to", f"sqlite:{tmp_path}/x"]
    assert main([*command, "--segments", str(tmp_path / "none")]) == 64
    assert "is not a folder" in capsys.readouterr().err


def test_a_name_that_appears_meanwhile_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out.db"
    fill = snapshot_export.SnapshotFiller.fill

    def slow(self: object, without: bool) -> object:
        target.write_bytes(b"somebody's")
        return fill(self, without)

    monkeypatch.setattr(snapshot_export.SnapshotFiller, "fill", slow)
    assert main(["snapshot", "export", str(VECTORS / "a_v8.catalog"), "--to", f"sqlite:{target}"]) == 64
    assert target.read_bytes() == b"somebody's"
    assert os.listdir(tmp_path) == ["out.db"]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "out.db"
    assert main(["snapshot", "export", str(VECTORS / "a_v8.catalog"), "--to", f"sqlite:{target}"]) == 0
    assert len(rows(target, "a")) == 2
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert main(["snapshot", "export", str(VECTORS / "a_v8.catalog"), "--to", f"sqlite:{target}"]) == 64


def test_a_damaged_segment_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = snapshot_with(tmp_path, [(7, [w.cold(3)])])
    put_segments(tmp_path / "segments", {3: w.segment([(7, b"")])[:-1] + b"?"})
    command = ["snapshot", "export", str(path), "--to", f"sqlite:{tmp_path}/out.db"]
    assert main([*command, "--segments", str(tmp_path / "segments")]) == 65
    assert "it is damaged" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "segments")
    assert os.listdir(tmp_path) == ["snapshot.db"]


def test_a_check_that_takes_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spgrepl.cli.parts.reading_line.AFTER", 0.0)
    path = tmp_path / "some.db"
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
            "INSERT INTO t SELECT i, zeroblob(100) FROM n"
        )
    assert main(["snapshot", "show", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "table t: 20,000 rows" in out
    assert err.startswith("SQLite checks 1 table, 2 MB: 0 s so far\n")

"""``spgrepl segments verify``, ``ls`` and ``cat``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from zlib import crc32

import pytest

from spgrepl.cli import main
from spgrepl.segments.manifest import Manifest, ManifestSegment, write_manifest
from tests.segments.samples import put, v1, v2
from tests.spg.samples import SEGMENTS, VECTORS
from tests.spg.writer import segment

CONTENTS = {2: v1(b"two"), 5: b"", 9: v2(b"nine")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ``<stem>.spg`` with three sound segments and their manifest."""
    put(tmp_path / "copy.spg" / "segments", CONTENTS)
    listed = tuple(ManifestSegment(one, f"segments/seg_{one}.spg", crc32(data)) for one, data in CONTENTS.items())
    write_manifest(tmp_path / "copy.spg" / "manifest.v10", Manifest(0, listed))
    return tmp_path / "copy.spg"


def test_sound_ones(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given in (folder, folder / "segments"):
        assert main(["segments", "verify", str(given)]) == 0
        out, err = capsys.readouterr()
        assert [line.split()[:3] for line in out.splitlines()] == [
            ["2", "sound", "seg_2.spg,"],
            ["5", "sound", "seg_5.spg,"],
            ["9", "sound", "seg_9.spg,"],
            ["segments:", "3,", "wrong:"],
        ]
        assert err == ""


def test_each_fault_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segments = folder / "segments"
    put(segments, {2: CONTENTS[2][:-1] + b"!", 5: b"other", 7: b"unknown"})
    (segments / "seg_9.spg").unlink()
    (segments / "seg_11.spg.incoming").write_bytes(b"a part")
    assert main(["segments", "verify", str(folder)]) == 65
    out, err = capsys.readouterr()
    assert "DAMAGED        seg_2.spg has a body with CRC" in out
    assert f"DIFFERS        seg_5.spg, 5 bytes, other, CRC {crc32(b'other'):08x}; the manifest states CRC" in out
    assert "not registered seg_7.spg" in out
    assert "MISSING        seg_9.spg is registered and not there" in out
    assert "never whole    seg_11.spg.incoming" in out
    assert "segments: 4, wrong: 4" in out
    assert "A follower receives again" in err


@pytest.mark.parametrize("action", ["ls", "verify"])
def test_a_folder_without_anything_of_segments(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To say of any folder that all of its segments are sound would tell nobody that it is the wrong one."""
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-bob.txt").write_text("x")
    assert main(["segments", action, str(tmp_path / "letters")]) == 64
    assert "letters holds no segments (seg_….spg) and no manifest" in capsys.readouterr().err
    (tmp_path / "copy.spg" / "segments").mkdir(parents=True)
    for given in (tmp_path / "copy.spg", tmp_path / "copy.spg" / "segments"):
        assert main(["segments", action, str(given)]) == 0


def test_what_only_looks_like_a_segment_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, {7: CONTENTS[2]})
    (tmp_path / "seg_007.spg").write_bytes(b"x")
    (tmp_path / "seg_8.spg").symlink_to("seg_7.spg")
    for action, code in (("ls", 0), ("verify", 65)):
        assert main(["segments", action, str(tmp_path)]) == code
        out, _ = capsys.readouterr()
        assert "never served   'seg_007.spg': segment 7 is named seg_7.spg" in out
        assert "never served   'seg_8.spg': it is a symbolic link" in out
    assert "segments: 3, wrong: 2" in out


def test_listing_says_what_segments_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder / "segments", {7: b"unknown"})
    (folder / "segments" / "seg_9.spg").unlink()
    assert main(["segments", "ls", str(folder)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["2", str(len(CONTENTS[2])), "registered", "seg_2.spg", "v1"],
        ["5", "0", "registered", "seg_5.spg", "other"],
        ["7", "7", "not", "registered", "seg_7.spg", "other"],
        ["9", "-", "MISSING", "seg_9.spg"],
    ]


def test_segments_of_a_server_are_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each form is told with what is inside, by both commands."""
    contents = {number: (VECTORS / name).read_bytes() for number, name in enumerate(SEGMENTS)}
    contents[50] = contents[0][:-1]
    contents[51] = b"SPGSEG\x02\0\x07\0\0\0\0"
    put(tmp_path / "segments", contents)
    assert main(["segments", "ls", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert main(["segments", "verify", str(tmp_path)]) == 65
    verified = capsys.readouterr().out
    for said in (listed, verified):
        for words in (
            "seg_0.spg.* v1, 2 rows, keys 1 to 3",
            "seg_3.spg.* v2 .BRIN and v1, LZSS., 599 rows, keys 1 to 599",
            "seg_4.spg.* v2 .v1, LZSS., 599 rows, keys 1 to 599",
            "seg_6.spg.* v3, 3 rows, keys 1 to 3",
            "seg_51.spg states compression 7",
        ):
            assert re.search(words, said)
    assert "segments: 9, wrong: 2" in verified


CAT = ["segments", "cat"]
SNAPSHOT = ["--snapshot", str(VECTORS / "d_v11.catalog")]


def test_rows_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, {0: (VECTORS / "d_v1.seg").read_bytes()})
    assert main([*CAT, str(tmp_path / "seg_0.spg"), "--table", "c", *SNAPSHOT]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"key": 1, "alive": True, "row": {"id": 1, "t": "one"}},
        {"key": 3, "alive": False, "row": {"id": 3, "t": None}},
    ]
    assert main([*CAT, str(VECTORS / "d_v1.seg"), "--table", "c", *SNAPSHOT]) == 0
    assert '"alive": null' in capsys.readouterr().out


def test_rows_of_another_table_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*CAT, str(VECTORS / "d_v1.seg"), "--table", "x", *SNAPSHOT]) == 64
    assert "has no table 'x'; it has c" in capsys.readouterr().err
    put(tmp_path, {0: segment([(1, b"\0" * 3)])})
    assert main([*CAT, str(tmp_path / "seg_0.spg"), "--table", "c", *SNAPSHOT]) == 65
    out, err = capsys.readouterr()
    assert json.loads(out) == {"key": 1, "alive": True, "payload": "000000"}
    assert "1 row does not fit the columns of c" in err
    put(tmp_path, {0: v1(b"two")})
    assert main([*CAT, str(tmp_path / "seg_0.spg"), "--table", "c", *SNAPSHOT]) == 65
    assert "not a cold segment" in capsys.readouterr().err


def test_without_a_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "manifest.v10").unlink()
    assert main(["segments", "verify", str(folder)]) == 0
    assert main(["segments", "ls", str(folder)]) == 0
    assert capsys.readouterr().out.count("no manifest") == 3


def test_what_cannot_be_looked_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["segments", "ls", str(folder / "none")]) == 64
    (folder / "manifest.v10").write_bytes(b"SPGMAN01")
    assert main(["segments", "verify", str(folder)]) == 65
    assert "ends after 8 bytes" in capsys.readouterr().err

"""``spgrepl segments verify`` and ``spgrepl segments ls``."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

from spgrepl.cli import main
from spgrepl.manifest import Manifest, ManifestSegment, write_manifest
from tests.segment_samples import put, v1, v2

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


def test_listing_reads_nothing_but_the_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(folder / "segments", {7: b"unknown"})
    (folder / "segments" / "seg_9.spg").unlink()
    assert main(["segments", "ls", str(folder)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["2", str(len(CONTENTS[2])), "registered", "seg_2.spg"],
        ["5", "0", "registered", "seg_5.spg"],
        ["7", "7", "not", "registered", "seg_7.spg"],
        ["9", "-", "MISSING", "seg_9.spg"],
    ]


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

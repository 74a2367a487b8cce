"""Segment files, and what a follower made of them."""

from __future__ import annotations

import random
from pathlib import Path
from zlib import crc32

from spgrepl.segments.manifest import read_manifest
from tests.segments.samples import put, v1, v2

MIB = 1024 * 1024


def write_segments(folder: Path, chance: random.Random, count: int = 20) -> dict[int, bytes]:
    """Files of all kinds, among them an empty one, one of a single byte, one of 4 MiB, and one of 4 MiB + 1."""
    contents = [b"", b"x", v1(chance.randbytes(4 * MIB - 12)), v1(chance.randbytes(4 * MIB - 11))]
    while len(contents) < count:
        size = chance.choice((0, 10, 1000, 300_000, 3 * MIB, 9 * MIB))
        contents.append(chance.choice((v1, v2, bytes))(chance.randbytes(size)))
    chance.shuffle(contents)
    ids = sorted(chance.sample(range(1000), count))
    made = dict(zip(ids, contents, strict=True))
    put(folder, made)
    return made


def segment_files(database: Path) -> dict[str, tuple[int, int]]:
    """What lies in the folder of a database's segments: inode and time of change, by name."""
    folder = database.with_suffix(".spg") / "segments"
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        status = path.stat()
        found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def registered(database: Path) -> dict[int, int]:
    """The CRC-32 of the files that a database's manifest lists, by id."""
    manifest = read_manifest(database.with_suffix(".spg") / "manifest.v10")
    return {} if manifest is None else {one.id: one.crc for one in manifest.segments}


def check_exact(database: Path, expected: dict[int, bytes]) -> None:
    """Files and manifest are those that are expected, and nothing else is there."""
    folder = database.with_suffix(".spg")
    names = {f"seg_{number}.spg" for number in expected}
    assert set(segment_files(database)) == names
    assert {path.name for path in folder.iterdir()} == {"segments", "manifest.v10"}
    for number, content in expected.items():
        assert (folder / "segments" / f"seg_{number}.spg").read_bytes() == content, number
    manifest = read_manifest(folder / "manifest.v10")
    assert manifest is not None
    assert manifest.wal_baseline == 0
    assert [(one.id, one.path, one.crc) for one in manifest.segments] == [
        (number, f"segments/seg_{number}.spg", crc32(content)) for number, content in sorted(expected.items())
    ]

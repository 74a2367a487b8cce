"""Segments to test with: the recorded ones, and sound files of both formats."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

CHUNK = 4 * 1024 * 1024


@functools.cache
def recorded_segments() -> dict[int, bytes]:
    """The segments of the recorded exchanges, by the rules that the vectors state."""
    period = bytes((7 * index + 3) % 251 for index in range(251))
    return {2: b"tiny segment", 5: b"", 9: (period * (4_195_304 // 251 + 1))[:4_195_304]}


def recorded_chunk(entry: dict[str, Any]) -> bytes:
    """The bytes of the file that a recorded frame of type 3 carries."""
    content = recorded_segments()[entry["segment_id"]]
    data = content[entry["chunk_seq"] * CHUNK :][: entry["chunk_bytes"]]
    assert (len(data), crc32(data)) == (entry["chunk_bytes"], entry["crc32"])
    return data


def v1(body: bytes) -> bytes:
    """A sound SPGSEG v1 file."""
    return b"SPGSEG\x01\x00" + body + struct.pack("<I", crc32(body))


def v2(inner: bytes, algorithm: int = 0) -> bytes:
    """A sound SPGSEG v2 file."""
    return b"SPGSEG\x02\x00" + struct.pack("<BI", algorithm, len(inner)) + inner


def put(folder: Path, contents: dict[int, bytes]) -> None:
    """Write segments to a folder under their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in contents.items():
        (folder / f"seg_{number}.spg").write_bytes(content)

"""The manifest of a database's snapshot and cold segments, version 10 (PROTOCOL section 6).

``"SPGMAN01"`` · ``u8 10`` · ``u32`` CRC of the snapshot file · ``u32 n`` · n × (``u32 id`` · ``u32 path length`` ·
path · ``u32`` CRC of the segment file) in rising id · ``u64`` WAL baseline · ``u32`` CRC of everything before.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from zlib import crc32

import attrs

from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import replace_file
from spgrepl.errors import (
    MalformedManifest,
    ManifestChecksumMismatch,
    ManifestError,
    ManifestTruncated,
    UnsupportedManifest,
)
from spgrepl.text.quantities import number_of

MAGIC = b"SPGMAN01"
VERSION = 10

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SEGMENT = struct.Struct("<II")


@attrs.frozen
class ManifestSegment:
    """A cold segment that is registered.

    Attributes:
        id: Its number, 0 to 2³² − 1.
        path: Its file as the writer named it.
        crc: The CRC-32 of the whole file.
    """

    id: int
    path: str
    crc: int


@attrs.frozen
class Manifest:
    """What stands in a manifest.

    Attributes:
        snapshot_crc: The CRC-32 of the snapshot file.
        segments: The registered segments, in rising id.
        wal_baseline: The position in the log that the snapshot stands at; a follower writes 0.
    """

    snapshot_crc: int
    segments: tuple[ManifestSegment, ...] = ()
    wal_baseline: int = 0


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest.

    Raises:
        ValueError: The segments' ids do not rise.
    """
    _require_rising([segment.id for segment in manifest.segments])
    parts = [MAGIC, bytes((VERSION,)), _U32.pack(manifest.snapshot_crc), _U32.pack(len(manifest.segments))]
    for segment in manifest.segments:
        path = segment.path.encode("utf-8")
        parts += [_SEGMENT.pack(segment.id, len(path)), path, _U32.pack(segment.crc)]
    parts.append(_U64.pack(manifest.wal_baseline))
    content = b"".join(parts)
    return content + _U32.pack(crc32(content))


def decode_manifest(data: bytes, name: str = "manifest") -> Manifest:
    """Decode a manifest.

    Args:
        data: The whole file.
        name: What to call it in errors.

    Raises:
        UnsupportedManifest: It does not begin with the magic, or has another version.
        ManifestTruncated: It ends before what it announces.
        ManifestChecksumMismatch: Its CRC-32 is wrong, or bytes follow it.
        MalformedManifest: The CRC-32 is right, and yet ids do not rise or a path is not UTF-8.
    """
    reader = _Reader(data, name)
    magic = reader.take(len(MAGIC), "the magic")
    if magic != MAGIC:
        raise UnsupportedManifest(f"{name} begins with {magic!r}, expected {MAGIC!r}: it is not a manifest")
    version = reader.take(1, "the version")[0]
    if version != VERSION:
        raise UnsupportedManifest(f"{name} has version {version}; only version {VERSION} is read")
    snapshot_crc = reader.u32("the snapshot's CRC")
    entries = []
    for index in range(reader.u32("the number of segments")):
        what = f"segment entry {index}"
        entry_id, size = reader.u32(what), reader.u32(what)
        entries.append((entry_id, reader.take(size, what), reader.u32(what)))
    (baseline,) = _U64.unpack(reader.take(8, "the WAL baseline"))
    reader.finish()
    return Manifest(snapshot_crc, tuple(_segments(entries, name)), baseline)


def read_manifest(path: Path) -> Manifest | None:
    """Read the manifest at a path; None where there is none.

    Raises:
        ManifestError: It is there and cannot be read; the class and the message say why.
    """
    try:
        data = read_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(f"cannot read the manifest {path}: {error}") from error
    return decode_manifest(data, str(path))


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Put a manifest in place, durably: a crash leaves the old one or the new one.

    Raises:
        ValueError: The segments' ids do not rise.
        OSError: The file could not be written; the old one is untouched.
    """
    replace_file(path, encode_manifest(manifest))


class _Reader:
    """Takes a manifest from front to back and never beyond its end, whatever its lengths claim."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        self._at = 0

    def take(self, size: int, what: str) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ManifestTruncated(
                f"{self._name} ends after {number_of(len(self._data), 'byte')}, in {what}, which "
                f"needs {end - len(self._data)} more; restore the file"
            )
        piece = self._data[self._at : end]
        self._at = end
        return piece

    def u32(self, what: str) -> int:
        return int(_U32.unpack(self.take(4, what))[0])

    def finish(self) -> None:
        """Check that the CRC of all that was taken comes next, and nothing after it."""
        found = crc32(self._data[: self._at])
        stated = self.u32("its CRC")
        if stated != found:
            raise ManifestChecksumMismatch(
                f"{self._name} has CRC {found:08x}, it states {stated:08x}: it is damaged; restore the file"
            )
        if self._at != len(self._data):
            raise ManifestChecksumMismatch(
                f"{self._name} has {number_of(len(self._data) - self._at, 'byte')} after its CRC, "
                f"expected none; restore it"
            )


def _segments(entries: list[tuple[int, bytes, int]], name: str) -> list[ManifestSegment]:
    try:
        _require_rising([entry_id for entry_id, _, _ in entries])
        return [ManifestSegment(entry_id, path.decode("utf-8"), crc) for entry_id, path, crc in entries]
    except UnicodeDecodeError as error:
        raise MalformedManifest(f"{name} names a segment file that is not UTF-8: {error}") from error
    except ValueError as error:
        raise MalformedManifest(f"{name}: {error}") from error


def _require_rising(ids: list[int]) -> None:
    for before, after in itertools.pairwise(ids):
        if after <= before:
            raise ValueError(f"segment {after} stands after segment {before}, expected rising ids")

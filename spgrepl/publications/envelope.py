"""The publications in the snapshot of an SPG server (PROTOCOL section 6).

The envelope is ``"SPGENV01" · u8 version``, then sections of ``u32 length · bytes``: catalog, users, from version
3 on publications. The section, as SPG servers write it: ``u16 count``, then for each publication ``u16 length ·
name · u8 scope`` (0 all tables, 1 those listed, 2 all but those listed) and for the scopes 1 and 2 ``u16 count``
of tables, each ``u16 length · name``. From version 2 on a ``u32 crc32`` of all before it ends the file.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from spgrepl.errors import LocalFilesDamaged
from spgrepl.publications.definitions import Publications
from spgrepl.publications.statements import CreatePublication, Scope

MAGIC = b"SPGENV01"

_BLOCK = 1024 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_SECTIONS_BEFORE = 2
_VERSION_WITH_CRC = 2
_VERSION_WITH_PUBLICATIONS = 3
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_SCOPES = {0: Scope.ALL, 1: Scope.ONLY, 2: Scope.EXCEPT}


def read_envelope(path: Path) -> Publications:
    """Read the publications of a snapshot file. Blocking.

    Returns:
        The publications; none where the file is missing, is no SPG envelope, or of a version before 3.

    Raises:
        LocalFilesDamaged: It is an envelope, and damaged.
        OSError: It cannot be read.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return Publications()
    with file:
        head = file.read(len(MAGIC) + 1)
        if not head.startswith(MAGIC) or len(head) <= len(MAGIC):
            return Publications()
        version = head[-1]
        if version < _VERSION_WITH_PUBLICATIONS:
            return Publications()
        size = os.fstat(file.fileno()).st_size
        _check_crc(path, file, size)
        return decode_publications(_section(path, file, len(head), size - _U32.size), path)


def _check_crc(path: Path, file: BinaryIO, size: int) -> None:
    file.seek(0)
    crc, left = 0, size - _U32.size
    while left > 0 and (block := file.read(min(_BLOCK, left))):
        crc = crc32(block, crc)
        left -= len(block)
    stated = file.read(_U32.size)
    if left or len(stated) < _U32.size or _U32.unpack(stated)[0] != crc:
        raise LocalFilesDamaged(
            f"{path} is an SPG snapshot with CRC-32 {crc:08x}, and it states another: it is damaged; restore it"
        )


def _section(path: Path, file: BinaryIO, at: int, end: int) -> bytes:
    """The third section, between two places of the file."""
    for _ in range(_SECTIONS_BEFORE):
        at += _U32.size + _length_at(path, file, at, end)
    length = _length_at(path, file, at, end)
    if length > _MOST_BYTES:
        raise LocalFilesDamaged(f"{path} states {length} bytes of publications, the limit is {_MOST_BYTES}")
    return file.read(length)


def _length_at(path: Path, file: BinaryIO, at: int, end: int) -> int:
    file.seek(at)
    found = file.read(_U32.size) if at + _U32.size <= end else b""
    length = int(_U32.unpack(found)[0]) if len(found) == _U32.size else end
    if at + _U32.size + length > end:
        raise LocalFilesDamaged(f"{path} is an SPG snapshot with a section at {at} that ends behind the file")
    return length


class _Cursor:
    """Reads a section from its front."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._data = data
        self._path = path
        self.at = 0

    def take(self, size: int) -> bytes:
        if self.at + size > len(self._data):
            raise LocalFilesDamaged(
                f"the publications in {self._path} end at {len(self._data)} bytes, in the middle of one"
            )
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self) -> int:
        return int(_U16.unpack(self.take(_U16.size))[0])

    def text(self) -> str:
        found = self.take(self.number())
        try:
            return found.decode("utf-8")
        except UnicodeDecodeError:
            raise LocalFilesDamaged(
                f"the publications in {self._path} hold a name that is not UTF-8: {found!r}"
            ) from None


def decode_publications(data: bytes, path: Path) -> Publications:
    """Read the section of publications.

    Args:
        data: The section's bytes.
        path: The file, for errors.

    Raises:
        LocalFilesDamaged: It does not have the form above.
    """
    cursor = _Cursor(data, path)
    found: dict[str, CreatePublication] = {}
    for _ in range(cursor.number()):
        name, tag = cursor.text(), cursor.take(1)[0]
        scope = _SCOPES.get(tag)
        if scope is None or name in found:
            what = f"states scope {tag}, expected 0, 1 or 2" if scope is None else "stands there twice"
            raise LocalFilesDamaged(f"the publication {name!r} in {path} {what}")
        count = 0 if scope is Scope.ALL else cursor.number()
        found[name] = CreatePublication(name, scope, tuple(cursor.text() for _ in range(count)))
    if cursor.at != len(data):
        raise LocalFilesDamaged(f"the publications in {path} are followed by {len(data) - cursor.at} more bytes")
    return Publications(found)

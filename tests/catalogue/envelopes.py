"""Snapshots of SPG servers to test with, made as PROTOCOL section 6 describes them."""

from __future__ import annotations

import struct
from zlib import crc32


def section_of(*publications: tuple[str, int, tuple[str, ...]]) -> bytes:
    """A section of publications: name, scope (0 all, 1 those listed, 2 all but those) and tables of each."""
    parts = [struct.pack("<H", len(publications))]
    for name, scope, tables in publications:
        parts += [_text(name), bytes([scope])]
        if scope:
            parts += [struct.pack("<H", len(tables)), *map(_text, tables)]
    return b"".join(parts)


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text.encode())) + text.encode()


def envelope(version: int, *sections: bytes) -> bytes:
    """An envelope of a version with some sections, and its checksum where it has one."""
    body = b"SPGENV01" + bytes([version]) + b"".join(struct.pack("<I", len(one)) + one for one in sections)
    return body + (struct.pack("<I", crc32(body)) if version >= 2 else b"")

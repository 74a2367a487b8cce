"""The envelope around a catalog: its version, its sections, its checksum, and the publications in it.

``"SPGENV01" · u8 version``, then sections of ``u32 length · bytes``: catalog, users, from version 3 on
publications, from 4 on subscriptions, from 5 on statistics. From version 2 on a ``u32 CRC-32`` of all before it
ends the file. A snapshot without users, publications, subscriptions and statistics is the bare catalog.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import attrs

from spgrepl.base.checksum import crc32
from spgrepl.base.small_files import open_regular
from spgrepl.errors import MalformedSpgFile, SpgChecksumMismatch, UnknownSpgVersion
from spgrepl.spg.values.cursor import Cursor, T
from spgrepl.text.quantities import number_of

ENVELOPE_MAGIC = b"SPGENV01"
CATALOG_MAGIC = b"SPGDB001"
NEWEST = 5

_BLOCK = 1024 * 1024
_CRC_FROM = 2
_SECTIONS = ("catalog", "users", "publications", "subscriptions", "statistics")
_SECTIONS_IN = {1: 2, 2: 2, 3: 3, 4: 4, 5: 5}
_MOST_SCOPE = 2
ALL_TABLES, THESE_TABLES, ALL_BUT_THESE = range(3)


@attrs.frozen
class StoredPublication:
    """A publication as a snapshot has it.

    Attributes:
        name: Its name.
        scope: `ALL_TABLES`, `THESE_TABLES` or `ALL_BUT_THESE`.
        tables: The tables that the scope speaks of.
    """

    name: str
    scope: int
    tables: tuple[str, ...] = ()


@attrs.frozen
class StoredSubscription:
    """A subscription as a snapshot has it; its connection string, which may hold a password, is left out.

    Attributes:
        name: Its name.
        publications: What it subscribes to.
        enabled: Whether it runs.
        position: The last position that it received.
    """

    name: str
    publications: tuple[str, ...]
    enabled: bool
    position: int


@attrs.frozen
class Envelope:
    """The parts of a snapshot file.

    Attributes:
        version: The envelope's version; None for a bare catalog.
        sections: Where each section is: its first byte's offset and the one after its last.
    """

    version: int | None
    sections: dict[str, tuple[int, int]]


def read_envelope(file: BinaryIO, name: str) -> Envelope:
    """Look at what a snapshot file consists of, and check the envelope's CRC-32. Blocking.

    Raises:
        UnknownSpgVersion: It is not an SPG snapshot, or its envelope is of a version that is not known.
        SpgFileError: It is damaged.
        OSError: It cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    cursor = Cursor(file.fileno(), name, 0, size)
    head = cursor.take(min(size, len(ENVELOPE_MAGIC)))
    if head == CATALOG_MAGIC:
        return Envelope(None, {"catalog": (0, size)})
    if head != ENVELOPE_MAGIC:
        raise UnknownSpgVersion(
            f"a file that begins with {head!r} is not an SPG snapshot; expected {ENVELOPE_MAGIC!r} or "
            f"{CATALOG_MAGIC!r}",
            name,
        )
    version = cursor.u8()
    if version not in _SECTIONS_IN:
        raise UnknownSpgVersion(f"an envelope of version {version}; 1 to {NEWEST} are known", name, 8)
    sections = {}
    for section in _SECTIONS[: _SECTIONS_IN[version]]:
        length = cursor.u32()
        start = cursor.offset
        cursor.skip(length)
        sections[section] = (start, cursor.offset)
    body = cursor.offset
    if version >= _CRC_FROM:
        stated = cursor.u32()
        found = checksum_of(file, 0, body)
        if stated != found:
            raise SpgChecksumMismatch(
                f"the bytes before have CRC-32 {found:08x}, {stated:08x} is stated: the snapshot is damaged; "
                f"restore it",
                name,
                body,
            )
    if cursor.left:
        raise MalformedSpgFile(
            f"{number_of(cursor.left, 'byte follows', 'bytes follow')} the end of the envelope",
            name,
            cursor.offset,
        )
    return Envelope(version, sections)


def checksum_of(file: BinaryIO, start: int, end: int) -> int:
    """The CRC-32 of a stretch of a file."""
    crc = 0
    while start < end and (block := os.pread(file.fileno(), min(_BLOCK, end - start), start)):
        crc = crc32(block, crc)
        start += len(block)
    return crc


def read_publications(path: Path) -> tuple[StoredPublication, ...]:
    """Read the publications of a snapshot file, and nothing else of it. Blocking.

    Returns:
        The publications; none where the file is missing, is not an SPG envelope, or is too old to have any.

    Raises:
        SpgFileError: It is an envelope, and damaged.
        OSError: It cannot be read.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return ()
    with file:
        head = file.read(len(ENVELOPE_MAGIC) + 1)
        if not head.startswith(ENVELOPE_MAGIC) or len(head) <= len(ENVELOPE_MAGIC):
            return ()
        return publications_of(file, str(path), read_envelope(file, str(path)))


def publications_of(file: BinaryIO, name: str, envelope: Envelope) -> tuple[StoredPublication, ...]:
    """Read the section of publications."""
    if "publications" not in envelope.sections:
        return ()
    cursor = Cursor(file.fileno(), name, *envelope.sections["publications"])
    found = cursor.list16(_publication, 3)
    names = [one.name for one in found]
    if len(set(names)) != len(names):
        raise cursor.malformed(f"a publication stands there twice, among {sorted(names)}")
    return _whole(cursor, found, "publications")


def subscriptions_of(file: BinaryIO, name: str, envelope: Envelope) -> tuple[StoredSubscription, ...]:
    """Read the section of subscriptions."""
    if "subscriptions" not in envelope.sections:
        return ()
    cursor = Cursor(file.fileno(), name, *envelope.sections["subscriptions"])
    return _whole(cursor, cursor.list16(_subscription, 17), "subscriptions")


def check_statistics(file: BinaryIO, name: str, envelope: Envelope) -> None:
    """Walk through the section of statistics, which nothing here needs."""
    if "statistics" in envelope.sections:
        cursor = Cursor(file.fileno(), name, *envelope.sections["statistics"])
        cursor.list16(_column_statistics, 18)
        cursor.list16(lambda at: (at.plain_text(), at.u64()), 10)
        _whole(cursor, (), "statistics")


def _whole(cursor: Cursor, found: T, what: str) -> T:
    if cursor.left:
        raise cursor.malformed(f"{number_of(cursor.left, 'byte follows', 'bytes follow')} the {what}")
    return found


def _publication(cursor: Cursor) -> StoredPublication:
    name = cursor.plain_text()
    scope = cursor.u8()
    if scope > _MOST_SCOPE:
        raise cursor.unknown(f"the publication {name!r} has a scope that", scope, cursor.offset - 1)
    return StoredPublication(name, scope, cursor.list16(Cursor.plain_text, 2) if scope else ())


def _subscription(cursor: Cursor) -> StoredSubscription:
    name = cursor.plain_text()
    cursor.skip(cursor.u32())
    return StoredSubscription(name, cursor.list16(Cursor.plain_text, 2), cursor.truth(), cursor.u64())


def _column_statistics(cursor: Cursor) -> None:
    cursor.plain_text()
    cursor.plain_text()
    cursor.skip(12)
    cursor.list16(Cursor.plain_text, 2)

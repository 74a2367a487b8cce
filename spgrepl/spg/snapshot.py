"""A snapshot file of an SPG server: walked through once when it is opened, its rows streamed afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from spgrepl.base.small_files import open_regular
from spgrepl.errors import SpgChecksumMismatch, SpgFileError, UnknownSpgVersion
from spgrepl.spg.blocks.indexes import ColdKey, cold_keys
from spgrepl.spg.blocks.objects import read_objects
from spgrepl.spg.blocks.schema import Table, View
from spgrepl.spg.blocks.tables import ROW_HEADER, WHOLE, Variant, dead_among, need_row, read_table, row_fault
from spgrepl.spg.envelope import (
    CATALOG_MAGIC,
    Envelope,
    StoredPublication,
    StoredSubscription,
    check_statistics,
    publications_of,
    read_envelope,
    subscriptions_of,
)
from spgrepl.spg.values.crc32c import crc32c
from spgrepl.spg.values.cursor import Cursor
from spgrepl.spg.values.rows import Row, RowDecoder, RowError
from spgrepl.text.quantities import number_of

OLDEST, NEWEST = 8, 100
"""The versions of catalogs that can be read."""

MAGICS = (b"SPGENV01", CATALOG_MAGIC)
"""What a snapshot begins with."""

BATCH = 512
"""How many rows are decoded at once."""

_CRC_FROM = 54
_BLOCK = 1024 * 1024
_VARIANTS = {
    12: (Variant(tail_fields=2), Variant(tail_fields=1)),
    15: (Variant(runtime_defaults=False),),
    59: (Variant(real_as_lsn=True),),
}
"""What to try where a file of a version cannot be read as that version says."""


@attrs.frozen
class Catalogue:
    """What a snapshot says besides its rows.

    Attributes:
        envelope_version: The envelope's version; None for a bare catalog.
        file_version: The catalog's FILE_VERSION.
        tables: Its tables.
        objects: The blocks after them, by name.
        publications: Its publications.
        subscriptions: Its subscriptions.
        checked: The checksums that were compared, and lacks of one, in words.
    """

    envelope_version: int | None
    file_version: int
    tables: tuple[Table, ...]
    objects: Mapping[str, Any]
    publications: tuple[StoredPublication, ...]
    subscriptions: tuple[StoredSubscription, ...]
    checked: tuple[str, ...]

    @property
    def views(self) -> tuple[View, ...]:
        """Views and materialized views, as text."""
        plain = (View(one["name"], one["columns"], one["sql"]) for one in self.objects.get("views", ()))
        stored = (View(one["name"], (), one["sql"], True) for one in self.objects.get("materialized_views", ()))
        return (*plain, *stored)


class Snapshot:
    """An open snapshot file. Blocking; close it, or use it in a ``with``.

    Args:
        path: The file.

    Raises:
        UnknownSpgVersion: It is not a snapshot of SPG, or of a version that is not known.
        SpgFileError: It is damaged.
        OSError: It cannot be read.

    Attributes:
        path: The file.
        size: Its length in bytes.
        catalogue: What it says besides its rows.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self.catalogue = self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # -- the catalogue ----------------------------------------------------------------------------------------

    def _read(self) -> Catalogue:
        name = str(self.path)
        envelope = read_envelope(self._file, name)
        version, tables, objects, checks = self._read_catalog(envelope)
        publications = publications_of(self._file, name, envelope)
        subscriptions = subscriptions_of(self._file, name, envelope)
        check_statistics(self._file, name, envelope)
        if envelope.version is not None:
            stated = "CRC-32 of the envelope" if envelope.version > 1 else "the envelope has no checksum"
            checks = (stated, *checks)
        return Catalogue(envelope.version, version, tables, objects, publications, subscriptions, checks)

    def _read_catalog(
        self, envelope: Envelope
    ) -> tuple[int, tuple[Table, ...], Mapping[str, Any], tuple[str, ...]]:
        start, end = envelope.sections["catalog"]
        head = Cursor(self._file.fileno(), str(self.path), start, end)
        magic = head.take(min(len(CATALOG_MAGIC), head.left))
        if magic != CATALOG_MAGIC:
            raise UnknownSpgVersion(
                f"a catalog that begins with {magic!r}, expected {CATALOG_MAGIC!r}", str(self.path), start
            )
        version = head.u8()
        if not OLDEST <= version <= NEWEST:
            raise UnknownSpgVersion(
                f"a catalog of FILE_VERSION {version}; {OLDEST} to {NEWEST} are known", str(self.path), start + 8
            )
        checks: tuple[str, ...] = ("the catalog has no checksum; it was parsed to its last byte",)
        if version >= _CRC_FROM:
            self._check_crc(start, end, head)
            end -= 4
            checks = ("CRC-32C of the catalog",)
        tables, objects = self._parse(version, head.offset, end)
        return version, tables, objects, checks

    def _check_crc(self, start: int, end: int, head: Cursor) -> None:
        if end - 4 < head.offset:
            raise head.short(4)
        crc, at = 0, start
        while at < end - 4:
            block = os.pread(self._file.fileno(), min(_BLOCK, end - 4 - at), at)
            if not block:
                raise head.short(end - at)
            crc = crc32c(block, crc)
            at += len(block)
        stated = head.another(end - 4, end).u32()
        if stated != crc:
            raise SpgChecksumMismatch(
                f"the catalog before has CRC-32C {crc:08x}, {stated:08x} is stated: it is damaged; restore it",
                str(self.path),
                end - 4,
            )

    def _parse(self, version: int, start: int, end: int) -> tuple[tuple[Table, ...], Mapping[str, Any]]:
        try:
            return self._parse_as(version, start, end, WHOLE)
        except SpgFileError:
            for variant in _VARIANTS.get(version, ()):
                try:
                    return self._parse_as(version, start, end, variant)
                except SpgFileError:
                    continue
            raise

    def _parse_as(
        self, version: int, start: int, end: int, variant: Variant
    ) -> tuple[tuple[Table, ...], Mapping[str, Any]]:
        cursor = Cursor(self._file.fileno(), str(self.path), start, end, version)
        tables = cursor.list32(lambda at: read_table(at, variant), 10)
        objects = read_objects(cursor)
        if cursor.left:
            raise cursor.malformed(
                f"{number_of(cursor.left, 'byte follows', 'bytes follow')} the end of the catalog"
            )
        names = [table.name for table in tables]
        if len(set(names)) != len(names):
            raise cursor.malformed("a table stands there twice")
        return tables, objects

    # -- rows -------------------------------------------------------------------------------------------------

    def _cursor(self, start: int, end: int) -> Cursor:
        return Cursor(self._file.fileno(), str(self.path), start, end, self.catalogue.file_version)

    def rows(self, table: Table, progress: Callable[[int], object] = lambda _: None) -> Iterator[Row]:
        """The rows of a table that are in the file and alive, in the file's order.

        Args:
            table: The table.
            progress: Called with the offset in the file, now and then.

        Raises:
            SpgFileError: A row cannot be read.
        """
        for batch in self.batches(table, progress):
            yield from batch

    def batches(self, table: Table, progress: Callable[[int], object] = lambda _: None) -> Iterator[list[Row]]:
        """The same rows, several at once."""
        size = len(table.columns)
        for values in self.values(table, progress):
            yield [values[first : first + size] for first in range(0, len(values), size)]

    def values(self, table: Table, progress: Callable[[int], object] = lambda _: None) -> Iterator[list[Any]]:
        """The values of the same rows: of several at once in one list, one row after the other."""
        cursor = self._cursor(table.rows_at, table.rows_end)
        decoder = RowDecoder([column.type for column in table.columns], cursor.version)
        headers = None
        if table.dead and table.headers_at is not None:
            headers = self._cursor(table.headers_at, table.headers_at + ROW_HEADER * table.stored)
        left, size = table.stored, len(table.columns)
        while left:
            try:
                values, cursor.at, needed = decoder.read_values(cursor.buffer, cursor.at, min(left, BATCH))
            except RowError as error:
                raise row_fault(cursor, error) from error
            count = len(values) // size
            left -= count
            if headers is not None and count:
                for number in reversed(dead_among(headers.take(ROW_HEADER * count))):
                    del values[number * size : (number + 1) * size]
            if values:
                progress(cursor.offset)
                yield values
            if needed:
                need_row(cursor, needed)

    def cold_keys(self, table: Table) -> Iterator[ColdKey]:
        """The rows of a table that are in segments and alive: their keys, in the order of the index."""
        index = table.freeze_index
        if index is not None and index.cold:
            yield from cold_keys(self._cursor(index.entries_at, self.size), index.entries)

"""The list of what one side of a failover had, and the other did not get."""

from __future__ import annotations

import filecmp
import os
from pathlib import Path
from typing import BinaryIO

import attrs

from spgrepl.disk.files import create_private, own_name, remove_own, sync_folder
from spgrepl.log.reader import iterate_records
from spgrepl.pairs.turns import TURN_HEAD
from spgrepl.text.quantities import number_of

_UNFINISHED = "listing"


@attrs.frozen
class Lost:
    """What was not shared.

    Attributes:
        position: Where it begins, as the log counts.
        length: How many bytes of the log it is.
        statements: How many statements are listed: rows, BEGIN, COMMIT, all that a record held.
        path: The file that lists them.
    """

    position: int
    length: int
    statements: int
    path: Path

    def __str__(self) -> str:
        return (
            f"{number_of(self.statements, 'statement')}, {number_of(self.length, 'byte')} after "
            f"position {self.position}, were not shared: they are listed in {self.path}"
        )


def list_lost(wal: Path, start: int, stop: int, path: Path, max_record: int) -> Lost:
    """Write the SQL of a part of a log into a file, each record with its position and CRC. Blocking.

    Args:
        wal: The log.
        start: Where the part begins: a record's first byte.
        stop: Where it ends.
        path: The file. Where one is there, it has the same content, as an earlier call left it, or the next free
            name is taken.
        max_record: The most bytes of SQL or payload that a record may have.

    Raises:
        RecordError: A record is broken.
        OSError: The disk refuses.
    """
    statements = 0
    remove_own(path, _UNFINISHED)
    unfinished = own_name(path, _UNFINISHED)
    with open(create_private(unfinished), "wb") as file:
        file.write(b"-- What stands in %s after position %d.\n" % (os.fsencode(wal.name), start))
        for batch in iterate_records(wal, start, max_record, end=stop):
            for record in batch:
                statements += _write(file, record.position, record.crc, record.sql)
        file.flush()
        os.fsync(file.fileno())
    named, more = path, 0
    while os.path.lexists(named) and not _is_same(named, unfinished):
        more += 1
        named = path.with_name(f"{path.name}.{more}")
    os.rename(unfinished, named)
    sync_folder(path.parent)
    return Lost(start, stop - start, statements, named)


def _is_same(named: Path, unfinished: Path) -> bool:
    return named.is_file() and not named.is_symlink() and filecmp.cmp(named, unfinished, shallow=False)


def _write(file: BinaryIO, position: int, crc: int, sql: bytes | None) -> int:
    if sql is None or sql.startswith(TURN_HEAD):
        return 0
    file.write(b"-- position %d, CRC %08x\n%s;\n" % (position, crc, sql))
    return 1

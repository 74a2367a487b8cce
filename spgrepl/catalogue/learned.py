"""What a master has learned from a log that no database keeps: in memory, and in a file beside the log.

The file saves a restart from reading the whole log. It is worth nothing where it does not fit the log and the
snapshot before it, byte for byte as far as it looks, and is made again then.

States: nothing is known; known up to a position, with or without transactions open there. Each step reads what is
new, in a thread, and puts its result in the place of what was known; the file follows now and then.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import attrs

from spgrepl.base.histories import histories_of, histories_values
from spgrepl.base.small_files import read_regular
from spgrepl.catalogue.changes import CatalogWalk
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import CreatePublication, Scope
from spgrepl.disk.files import replace_file
from spgrepl.log.format.parser import RecordBatch, RecordParser, cut_records
from spgrepl.log.transactions.groups import Group, Judge
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE

_BLOCK = 256 * 1024
_SPAN = 4096
_KIND = "spgrepl: learned from a log"
_VERSION = 1


@attrs.frozen
class LogCatalogue:
    """What a log and its database say at a position.

    Attributes:
        publications: The publications.
        position: Where that is, between two units.
        rows_from: From which position on the log holds rows; None where it holds statements up to `position`. It
            may be some records too high where the log itself holds the mark.
        origin: The id of the cluster where rows originated that state no origin; None where that is not known:
            it is whoever serves the log.
        histories: Whose positions the log's are, as far as the database knows.
        of_spg: Whether the log is an SPG server's, which holds statements whatever a client writes into it.
    """

    publications: Publications
    position: int
    rows_from: int | None = None
    origin: int | None = None
    histories: tuple[Any, ...] = ()
    of_spg: bool = False


@attrs.frozen
class Learned:
    """What is known of a log.

    Attributes:
        catalogue: The publications; its position is where the transactions begin that are open.
        end: How far the log was read.
        group: The transactions that are open there; None without any, and where it is easier to read them again:
            `end` is the catalogue's position then.
    """

    catalogue: LogCatalogue
    end: int
    group: Group | None = None


def learn(
    handle: int, known: Learned, stop: int, max_record: int, judge: Judge, dropped: Mapping[int, int]
) -> Learned:
    """Read on in a log. Blocking, for a thread.

    Args:
        handle: The log's descriptor.
        known: What is known of it.
        stop: How far to read.
        max_record: The most bytes of SQL or payload that a record may have.
        judge: Says what becomes of transactions that end in different ways, where publications change in them.
        dropped: Transactions that were taken for dead: where they begin, and where the log goes on without them.

    Raises:
        RecordError: A record is broken, or nothing tells which publications there are.
        OSError: The log cannot be read.
    """
    at, rows_from = known.end, known.catalogue.rows_from
    group = None if known.group is None else attrs.evolve(known.group)
    walk = CatalogWalk(known.catalogue.publications, known.catalogue.position, judge, group)
    parser = RecordParser(at, max_record)
    while at < stop:
        data = os.pread(handle, min(_BLOCK, stop - at), at)
        if not data:
            break
        at += len(data)
        parser.feed(data)
        while (batch := parser.next_batch()) is not None:
            _walk(walk, batch, max_record, dropped)
            if rows_from is None and not known.catalogue.of_spg and ROWS_FROM_HERE in batch.sql:
                rows_from = batch.start_of(list(batch.sql).index(ROWS_FROM_HERE))
    found = attrs.evolve(
        known.catalogue, publications=walk.publications, position=walk.boundary, rows_from=rows_from
    )
    open_group = walk.plain_group()
    if walk.boundary < parser.position and open_group is None:
        return Learned(found, walk.boundary)
    return Learned(found, parser.position, open_group)


def _walk(walk: CatalogWalk, batch: RecordBatch, max_record: int, dropped: Mapping[int, int]) -> None:
    """Take a batch, and stop where transactions were taken for dead."""
    for end in sorted(end for end in dropped.values() if batch.position < end <= batch.end):
        front = batch.front(end)
        walk.walk(front)
        if dropped.get(walk.begin if walk.begin is not None else -1) == end:
            walk.drop()
        batch, _ = cut_records(batch.data[end - batch.position :], end, max_record)
    if len(batch):
        walk.walk(batch)


# -- the file ---------------------------------------------------------------------------------------------------


@attrs.frozen
class LearnedFile:
    """The file in which it is kept.

    Attributes:
        path: The file.
        snapshot: The snapshot that the log goes on after; a different one makes the file worth nothing.
    """

    path: Path
    snapshot: Path

    def save(self, handle: int, learned: Learned, base: int, dropped: Mapping[int, int]) -> bool:
        """Write the file. Blocking.

        Args:
            handle: The log's descriptor.
            learned: What is known.
            base: Where the log goes on after the snapshot.
            dropped: Transactions that were taken for dead.

        Returns:
            Whether it was written: not in the place of a file that is not one of these.

        Raises:
            OSError: The disk refuses.
        """
        if not _is_ours(self.path):
            return False
        catalogue, group = learned.catalogue, learned.group
        content = {
            "kind": _KIND,
            "version": _VERSION,
            "end": learned.end,
            "log": _crcs(handle, learned.end),
            "snapshot": self._identity(),
            "base": base,
            "position": catalogue.position,
            "publications": [
                [one.name, one.scope.value, list(one.tables)] for one in catalogue.publications.by_name.values()
            ],
            "any_case": catalogue.publications.any_case,
            "rows_from": catalogue.rows_from,
            "origin": catalogue.origin,
            "histories": histories_values(catalogue.histories),
            "of_spg": catalogue.of_spg,
            "group": None if group is None else attrs.asdict(group),
            "dropped": sorted(dropped.items()),
        }
        text = json.dumps(content, separators=(",", ":"))
        replace_file(self.path, f"{crc32(text.encode()):08x} {text}\n".encode())
        return True

    def load(self, handle: int, length: int, base: int) -> tuple[Learned, dict[int, int]] | None:
        """Read the file. Blocking.

        Args:
            handle: The log's descriptor.
            length: The log's length.
            base: Where the log goes on after the snapshot.

        Returns:
            What was known, and the transactions that were taken for dead; None where there is no file, or it does
            not fit.

        Raises:
            OSError: The log cannot be read.
        """
        content = _content(self.path)
        if content is None:
            return None
        try:
            end = int(content["end"])
            fits = (
                end <= length
                and content["version"] == _VERSION
                and content["base"] == base
                and content["snapshot"] == self._identity()
                and content["log"] == _crcs(handle, end)
            )
            if not fits:
                return None
            found = [
                CreatePublication(name, Scope(scope), tuple(tables))
                for name, scope, tables in content["publications"]
            ]
            catalogue = LogCatalogue(
                Publications({one.name: one for one in found}, bool(content["any_case"])),
                int(content["position"]),
                content["rows_from"],
                content["origin"],
                histories_of(content["histories"]),
                bool(content["of_spg"]),
            )
            group = None if content["group"] is None else Group(**content["group"])
            return Learned(catalogue, end, group), {int(begin): int(at) for begin, at in content["dropped"]}
        except (KeyError, TypeError, ValueError):
            return None

    def _identity(self) -> list[int] | None:
        """By what a snapshot is known without reading it."""
        try:
            found = os.stat(self.snapshot)
        except OSError:
            return None
        return [found.st_size, found.st_mtime_ns, found.st_ino]


def _is_ours(path: Path) -> bool:
    """Whether a file may be written over: one of these, however damaged, or one without content."""
    try:
        head = read_regular(path)[:_SPAN]
    except FileNotFoundError:
        return True
    return not head or _KIND.encode() in head


def _content(path: Path) -> dict[str, Any] | None:
    """What a file of this kind holds; None for any other, and for one that is damaged."""
    try:
        crc, _, text = read_regular(path).decode("utf-8").rstrip("\n").partition(" ")
        if int(crc, 16) != crc32(text.encode()):
            return None
        content = json.loads(text)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and content.get("kind") == _KIND else None


def _crcs(handle: int, end: int) -> list[int]:
    """The CRC-32 of a log's first bytes and of those before a position."""
    return [
        crc32(os.pread(handle, min(_SPAN, end), 0)),
        crc32(os.pread(handle, min(_SPAN, end), max(0, end - _SPAN))),
    ]

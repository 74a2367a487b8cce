"""What a disk holds after a loss of power: what was flushed, and of the rest whatever it pleases.

Reads what `shim.c` has recorded. The model is that of POSIX: content of a file is durable when a flush of the file
that began after the write has ended; a name is durable when the folder was flushed after it was made, changed or
removed. Of what is not durable each piece may be there or not, the last one torn; names, which file systems
journal in order, are there up to some point.
"""

from __future__ import annotations

import enum
import itertools
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import attrs

_HEAD = struct.Struct("<BQQI")


class Kind(enum.IntEnum):
    """What was asked of a file."""

    WRITE = 1
    TRUNCATE = 2
    FLUSH_BEGIN = 3
    FLUSH_END = 4
    CREATE = 5
    RENAME = 6
    UNLINK = 7
    LINK = 8
    FOLDER = 9


@attrs.frozen
class Operation:
    """One record of the shim.

    Attributes:
        kind: What was asked.
        file: The inode.
        offset: Where a write begins, what length a truncation leaves, or which thread flushes.
        data: What was written, or the path; two paths, apart by a zero byte, where a name was changed.
    """

    kind: Kind
    file: int
    offset: int
    data: bytes


def read_record(path: Path) -> list[Operation]:
    """Read all whole records; the process may have been killed while it wrote the last one."""
    content = path.read_bytes()
    found = []
    at = 0
    while at + _HEAD.size <= len(content):
        kind, file, offset, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        if at + length > len(content):
            break
        found.append(Operation(Kind(kind), file, offset, content[at : at + length]))
        at += length
    return found


@attrs.define
class _File:
    """A file's content, as it is surely there, and what may be there or not."""

    durable: bytearray = attrs.Factory(bytearray)
    pending: list[Operation] = attrs.Factory(list)
    flushing: dict[int, int] = attrs.Factory(dict)

    def flush(self, thread: int) -> None:
        count = self.flushing.pop(thread, 0)
        for operation in self.pending[:count]:
            _change(self.durable, operation)
        del self.pending[:count]
        self.flushing = {other: max(0, begun - count) for other, begun in self.flushing.items()}

    def after_loss(self, chance: random.Random) -> bytes:
        content = bytearray(self.durable)
        kept = chance.choice(("none", "all", "some", "first"))
        first = chance.randint(0, len(self.pending))
        for index, operation in enumerate(self.pending):
            if kept == "all" or (kept == "some" and chance.random() < 0.5) or (kept == "first" and index < first):
                _change(content, operation)
        if kept == "first" and first < len(self.pending) and self.pending[first].kind is Kind.WRITE:
            torn = self.pending[first]
            _change(content, attrs.evolve(torn, data=torn.data[: chance.randint(0, len(torn.data))]))
        return bytes(content)


def _change(content: bytearray, operation: Operation) -> None:
    if operation.kind is Kind.TRUNCATE:
        if operation.offset < len(content):
            del content[operation.offset :]
        else:
            content.extend(bytes(operation.offset - len(content)))
        return
    if operation.offset > len(content):
        content.extend(bytes(operation.offset - len(content)))
    content[operation.offset : operation.offset + len(operation.data)] = operation.data


class Disk:
    """A folder as it is after some of the recorded operations.

    Args:
        root: The folder that was recorded, empty at first.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root.resolve())
        self._serials = itertools.count()
        # The number of a file that was removed is given again: ours are not.
        self._current: dict[int, int] = {}
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._pending_names: list[Operation] = []
        self._folders: dict[int, str] = {}
        self._folders_flushing: dict[tuple[int, int], int] = {}

    def take(self, operation: Operation) -> None:
        """Carry out one operation, not yet durably."""
        kind = operation.kind
        if kind in (Kind.WRITE, Kind.TRUNCATE):
            self._file(operation.file).pending.append(operation)
        elif kind is Kind.FOLDER:
            self._folders[operation.file] = operation.data.decode()
        elif kind is Kind.FLUSH_BEGIN:
            self._begin(operation)
        elif kind is Kind.FLUSH_END:
            self._end(operation)
        else:
            if kind is Kind.CREATE:
                self._current[operation.file] = next(self._serials)
            if operation.data:
                self._pending_names.append(attrs.evolve(operation, file=self._serial(operation.file)))

    def _serial(self, number: int) -> int:
        if number not in self._current:
            self._current[number] = next(self._serials)
        return self._current[number]

    def _file(self, number: int) -> _File:
        return self._files.setdefault(self._serial(number), _File())

    def _begin(self, operation: Operation) -> None:
        if operation.file in self._folders:
            self._folders_flushing[operation.file, operation.offset] = len(self._pending_names)
        else:
            file = self._file(operation.file)
            file.flushing[operation.offset] = len(file.pending)

    def _end(self, operation: Operation) -> None:
        if operation.file not in self._folders:
            self._file(operation.file).flush(operation.offset)
            return
        count = self._folders_flushing.pop((operation.file, operation.offset), 0)
        folder = self._folders[operation.file]
        for change in self._pending_names[:count]:
            if _folder_of(change) == folder:
                _rename(self._names, change)
        left = [change for change in self._pending_names[:count] if _folder_of(change) != folder]
        gone = count - len(left)
        self._pending_names[:count] = left
        self._folders_flushing = {key: max(0, begun - gone) for key, begun in self._folders_flushing.items()}

    def surely_there(self, number: int) -> int:
        """How many bytes of a file are there whatever happens."""
        return len(self._file(number).durable)

    def write_to(self, folder: Path, chance: random.Random) -> None:
        """Write what is there after a loss of power now into an empty folder."""
        names = dict(self._names)
        pending = len(self._pending_names)
        for change in self._pending_names[: chance.choice((0, pending, chance.randint(0, pending)))]:
            _rename(names, change)
        for name, number in names.items():
            path = folder / name[len(self._root) + 1 :]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._files.get(number, _File()).after_loss(chance))


def _folder_of(change: Operation) -> str:
    return change.data.split(b"\0")[0].decode().rpartition("/")[0]


def _rename(names: dict[str, int], change: Operation) -> None:
    first, _, second = (part.decode() for part in change.data.partition(b"\0"))
    if change.kind in (Kind.CREATE, Kind.LINK):
        names[first] = change.file
    elif change.kind is Kind.UNLINK:
        names.pop(first, None)
    elif first in names:
        names[second] = names.pop(first)


def moments(operations: list[Operation], count: int, chance: random.Random) -> Iterator[int]:
    """Random moments, rising: how many operations have been asked for by then."""
    yield from sorted(chance.sample(range(1, len(operations)), min(count, len(operations) - 1)))

"""The cold segments of one connection: files cut into chunks, one piece after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from spgrepl.errors import SegmentChanged, SpgReplError
from spgrepl.segments.outgoing import SegmentFolder, SegmentRegistry
from spgrepl.segments.outgoing_cursor import SegmentCursor
from tests.master.kit import frames
from tests.segments.samples import put


def chunks(stream: bytes) -> list[tuple[int, int, int, int, bytes]]:
    """Segment, number, total, stated length and bytes of each chunk."""
    found = []
    for kind, payload in frames(stream):
        assert kind == 3
        numbers = [int.from_bytes(payload[at : at + 4], "little") for at in range(0, 16, 4)]
        found.append((*numbers, payload[16:]))
    return found  # type: ignore[return-value]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "segments"


@pytest.fixture
def registry(folder: Path) -> Iterator[SegmentRegistry]:
    made = SegmentRegistry(Clock(), execute, SegmentFolder.of(folder, chunk=1000))
    yield made
    made.stop()


def take(cursor: SegmentCursor) -> bytes:
    """The next piece; empty where there was none yet."""
    piece = cursor.next()
    if isinstance(piece, Deferred):
        found: list[memoryview | None] = []
        errors: list[BaseException] = []
        piece.addCallbacks(found.append, lambda failure: errors.append(failure.value))
        if errors:
            raise errors[0]
        piece = found[0] or memoryview(b"")
    return bytes(piece)


def drain(cursor: SegmentCursor) -> bytes:
    stream = b""
    while cursor.waiting:
        stream += take(cursor)
    return stream


def test_files_are_cut_and_each_is_sent_once(folder: Path, registry: SegmentRegistry) -> None:
    contents = {1: b"a" * 2500, 2: b"", 3: b"c" * 1000}
    put(folder, contents)
    cursor = SegmentCursor(registry)
    found = chunks(drain(cursor))
    assert [(one, number, total, len(data)) for one, number, total, _, data in found] == [
        (1, 0, 3, 1000),
        (1, 1, 3, 1000),
        (1, 2, 3, 500),
        (2, 0, 1, 0),
        (3, 0, 1, 1000),
    ]
    assert all(length == len(data) for *_, length, data in found)
    assert (cursor.done, cursor.total, cursor.sent, cursor.waiting) == (3, 3, 3500, False)


def test_what_appears_later_comes_later(folder: Path, registry: SegmentRegistry) -> None:
    put(folder, {1: b"one"})
    cursor = SegmentCursor(registry)
    drain(cursor)
    put(folder, {2: b"two"})
    for _ in range(2):  # a file that stands in no manifest is looked at twice
        registry.refresh()
    assert [(one, data) for one, *_, data in chunks(drain(cursor))] == [(2, b"two")]


def test_no_other_frame_may_come_within_a_chunk(folder: Path, registry: SegmentRegistry) -> None:
    wide = SegmentRegistry(Clock(), execute, SegmentFolder.of(folder, chunk=4 * 1024 * 1024))
    put(folder, {1: bytes(3 * 1024 * 1024)})
    cursor = SegmentCursor(wide)
    states = []
    while cursor.waiting:
        take(cursor)
        states.append(cursor.in_chunk)
    assert True in states
    assert states[-1] is False
    wide.stop()


@pytest.mark.parametrize("change", ["shrinks", "goes", "vanishes"])
def test_a_file_that_changes_while_it_is_sent_is_named(
    folder: Path, registry: SegmentRegistry, change: str
) -> None:
    put(folder, {1: b"a" * 2500})
    path = folder / "seg_1.spg"
    cursor = SegmentCursor(registry)
    take(cursor)
    if change == "vanishes":
        path.unlink()
    else:
        take(cursor)
        (os.truncate(path, 700) if change == "shrinks" else path.unlink())
    with pytest.raises((SegmentChanged, SpgReplError), match=r"seg_1\.spg"):
        drain(cursor)


def test_a_connection_that_has_ended_sends_nothing_more(folder: Path, registry: SegmentRegistry) -> None:
    put(folder, {1: b"a" * 2500})
    before = len(os.listdir("/proc/self/fd"))
    cursor = SegmentCursor(registry)
    take(cursor)
    take(cursor)
    cursor.close()
    assert len(os.listdir("/proc/self/fd")) == before

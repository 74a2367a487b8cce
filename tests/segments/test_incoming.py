"""Segments that are received: real files and threads, whatever comes, and whatever the disk says."""

from __future__ import annotations

import os
import random
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from twisted.internet import defer, task
from twisted.trial.unittest import SkipTest, TestCase

from spgrepl import errors
from spgrepl.base.worker import EngineWorker
from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.counting import CountingEngine
from spgrepl.segments import incoming as segments
from spgrepl.segments import store as segment_store
from spgrepl.segments.incoming import HIGH_WATER, SegmentAssembler
from spgrepl.segments.manifest import Manifest, ManifestSegment, read_manifest, write_manifest
from spgrepl.segments.store import SegmentStore
from spgrepl.segments.transfer import ChunkStream
from spgrepl.wire.frames import ChunkBytes, FrameParser, encode_chunk_start
from spgrepl.wire.segment_chunks import ChunkHeader, chunk_count
from tests.segments.samples import put, v1, v2


def chunked(number: int, content: bytes, size: int = 1000) -> list[bytes]:
    """The frames of a segment."""
    total = chunk_count(len(content), size)
    pieces = [content[size * seq : size * (seq + 1)] for seq in range(total)]
    return [
        encode_chunk_start(ChunkHeader(number, seq, total, len(piece))) + piece for seq, piece in enumerate(pieces)
    ]


class AssemblerCase(TestCase):
    def setUp(self) -> Any:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.top = Path(self.mktemp())
        self.top.mkdir()
        self.paths = DatabasePaths.of(self.top / "copy.db")
        self.failures: list[errors.SpgReplError] = []
        self.rooms = 0
        self.engine = CountingEngine(self.paths.database)
        self.worker = EngineWorker(reactor, "test-engine")
        self.worker.start()
        self.addCleanup(lambda: task.deferLater(reactor, 0))
        self.addCleanup(self.worker.stop)
        self.addCleanup(self.stop)
        self.make()
        return self.assembler.start(None)

    def stop(self) -> Any:
        return self.assembler.stop()

    def make(self) -> None:
        self.assembler = SegmentAssembler(
            self.reactor,
            SegmentStore(self.paths),
            self.engine,
            self.worker,
            ChunkStream(self.got_room, self.failures.append),
        )
        self.frames = FrameParser()

    def got_room(self) -> None:
        self.rooms += 1

    @defer.inlineCallbacks
    def restart(self, base: int | None = None) -> Any:
        yield self.assembler.stop()
        self.make()
        yield self.assembler.start(base)

    def feed(self, *frames: bytes) -> None:
        for event in self.frames.feed(b"".join(frames)):
            if isinstance(event, ChunkHeader):
                self.assembler.chunk_started(event)
            else:
                assert isinstance(event, ChunkBytes)
                self.assembler.chunk_data(event.data)

    def begin(self, number: int, length: int) -> None:
        """Announce a segment of one chunk."""
        self.assembler.chunk_started(ChunkHeader(number, 0, 1, length))

    def send(self, number: int, content: bytes) -> Any:
        self.feed(*chunked(number, content))
        return self.assembler.settled()

    def lose_connection(self) -> None:
        self.assembler.abandon()
        self.frames = FrameParser()

    def files(self) -> dict[str, bytes]:
        folder = self.paths.segments
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}

    def listed(self) -> list[tuple[int, str, int]]:
        manifest = read_manifest(self.paths.manifest)
        return [] if manifest is None else [(one.id, one.path, one.crc) for one in manifest.segments]


class ReceivingTests(AssemblerCase):
    @defer.inlineCallbacks
    def test_interleaved(self) -> Any:
        contents = {7: v1(b"seven" * 900), 3: v2(v1(b"three" * 300)), 9: b"other content" * 100, 5: b""}
        queues = [chunked(number, content) for number, content in contents.items()]
        while any(queues):
            for queue in queues:
                if queue:
                    self.feed(queue.pop(0))
        yield self.assembler.settled()
        assert self.failures == []
        assert self.files() == {f"seg_{number}.spg": content for number, content in contents.items()}
        assert self.listed() == [
            (number, f"segments/seg_{number}.spg", crc32(contents[number])) for number in sorted(contents)
        ]
        status = self.assembler.status()
        assert (status["registered"], status["received"], status["unchecked"]) == (4, 4, 2)
        assert status["current"] is None
        assert self.engine.statistics()["attached"] == 4

    @defer.inlineCallbacks
    def test_byte_by_byte(self) -> Any:
        content = v1(b"content" * 20)
        for frame in chunked(1, content, 50):
            for at in range(len(frame)):
                self.feed(frame[at : at + 1])
        yield self.assembler.settled()
        assert self.files() == {"seg_1.spg": content}

    @defer.inlineCallbacks
    def test_pieces_of_all_sizes_across_writes(self) -> Any:
        """A write takes parts of pieces, more pieces than one call of the kernel may have, and short writes."""
        chance = random.Random(3)
        content = v1(chance.randbytes(2 * segments.WRITE_BYTES + 4321))
        self.begin(1, len(content))
        sizes = [1] * 3000 + [chance.randrange(1, 300_000) for _ in range(5)] + [len(content)]
        writev, at = os.writev, 0
        self.patch(os, "writev", lambda handle, pieces: writev(handle, shortened(pieces, chance)))
        for size in sizes:
            if content[at : at + size]:
                self.assembler.chunk_data(content[at : at + size])
            at += size
        yield self.assembler.settled()
        assert self.failures == []
        assert self.files() == {"seg_1.spg": content}

    @defer.inlineCallbacks
    def test_what_is_on_the_disk_leaves_the_page_cache(self) -> Any:
        self.patch(segment_store, "SYNC_EVERY", segments.WRITE_BYTES)
        content = v1(random.Random(4).randbytes(2 * segments.WRITE_BYTES))
        self.feed(*chunked(1, content, segments.WRITE_BYTES))
        yield self.assembler.settled()
        path = self.paths.segments / "seg_1.spg"
        if not leaves_the_page_cache(self.top / "other", content):
            raise SkipTest("this file system keeps in memory what it is told to drop, or does not tell")
        assert not in_page_cache(path)
        assert path.read_bytes() == content

    @defer.inlineCallbacks
    def test_the_same_again_is_left_alone(self) -> Any:
        for content in (v1(b"x" * 5000), b"", b"1"):
            yield self.send(1, content)
            path = self.paths.segments / "seg_1.spg"
            before, manifest = path.stat(), self.paths.manifest.stat()
            for _ in range(2):
                self.lose_connection()
                yield self.send(1, content)
            yield self.restart()
            yield self.send(1, content)
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
            assert self.paths.manifest.stat().st_mtime_ns == manifest.st_mtime_ns
            assert self.assembler.status()["same"] == 1
        assert self.failures == []

    @defer.inlineCallbacks
    def test_what_differs_is_replaced_wherever_it_differs(self) -> Any:
        old = v1(bytes(5000))
        for new in (
            v1(bytes(4000) + b"!"),
            v1(b"!" + bytes(5000)),
            b"other",
            b"otherwise",
            b"oth",
            v1(bytes(6000)),
            b"",
            old,
        ):
            yield self.send(1, new)
            assert self.files() == {"seg_1.spg": new}
            assert self.listed() == [(1, "segments/seg_1.spg", crc32(new))]

    @defer.inlineCallbacks
    def test_what_differs_in_the_middle_of_a_write_is_replaced(self) -> Any:
        old = bytearray(random.Random(6).randbytes(3000))
        yield self.send(1, bytes(old))
        for wrong in range(0, 3000, 500):
            self.lose_connection()
            old[wrong + 250] ^= 1
            self.begin(1, len(old))
            for at in range(0, len(old), 500):
                self.assembler.chunk_data(bytes(old[at : at + 500]))
            yield self.assembler.settled()
            assert self.files() == {"seg_1.spg": old}, wrong

    @defer.inlineCallbacks
    def test_a_local_file_that_was_damaged_or_lost_is_received_again(self) -> Any:
        content = v1(b"y" * 5000)
        yield self.send(1, content)
        path = self.paths.segments / "seg_1.spg"
        for damage in (lambda: path.write_bytes(content[:-1] + b"?"), path.unlink, lambda: path.write_bytes(b"")):
            damage()
            yield self.send(1, content)
            assert self.files() == {"seg_1.spg": content}
        assert self.failures == []

    @defer.inlineCallbacks
    def test_a_segment_may_come_twice_in_a_row(self) -> Any:
        self.feed(*chunked(1, v1(b"first" * 1000)), *chunked(1, v1(b"second" * 1000)), *chunked(1, b"third"))
        yield self.assembler.settled()
        assert self.files() == {"seg_1.spg": b"third"}

    @defer.inlineCallbacks
    def test_back_pressure(self) -> Any:
        content = bytes(HIGH_WATER + 1_000_000)
        frames = chunked(1, content, 1_000_000)
        for frame in frames[:-1]:
            self.feed(frame)
        assert self.assembler.full
        assert not self.assembler.drained
        while not self.rooms:
            yield task.deferLater(self.reactor, 0.001)
        assert self.rooms == 1
        assert self.assembler.drained
        assert not self.assembler.full
        self.feed(frames[-1])
        yield self.assembler.settled()
        assert self.files() == {"seg_1.spg": content}

    @defer.inlineCallbacks
    def test_many_small_segments_wait_too(self) -> Any:
        count = HIGH_WATER // segments.FINISH_COST
        for number in range(count):
            self.feed(*chunked(number, b"small"))
        assert self.assembler.full
        yield self.assembler.settled()
        assert len(self.listed()) == count
        assert self.rooms == 1


class FailureTests(AssemblerCase):
    @defer.inlineCallbacks
    def test_a_stop_does_not_wait_for_thousands_of_small_segments(self) -> Any:
        """Some are put in place, the others come again; none is left half."""
        contents = {number: v1(b"%d" % number) for number in range(1000)}
        for number, content in contents.items():
            self.feed(*chunked(number, content))
        yield self.restart()
        assert len(self.listed()) <= 2 * segments.ENDED_AT_STOP
        assert set(self.files()) >= {Path(path).name for _, path, _ in self.listed()}
        assert all(name.startswith("seg_") and name.endswith(".spg") for name in self.files())
        for number, content in list(contents.items())[:40]:
            yield self.send(number, content)
        assert {number for number, _, _ in self.listed()} >= set(range(40))
        assert self.failures == []

    @defer.inlineCallbacks
    def test_damage_is_never_put_in_place(self) -> Any:
        good = v1(b"content" * 500)
        yield self.send(1, good)
        bad = good[:-1] + bytes((good[-1] ^ 1,))
        yield self.send(1, bad)
        assert isinstance(self.failures.pop(), errors.SegmentDamaged)
        assert self.assembler.failing
        assert self.files() == {"seg_1.spg": good}
        self.lose_connection()
        # The same damage again is the master's own: the rest goes on, and it stays in the status.
        yield self.send(1, bad)
        assert self.failures == []
        assert self.assembler.status()["damaged"] == [1]
        assert not self.assembler.failing
        yield self.send(2, b"next")
        assert self.files() == {"seg_1.spg": good, "seg_2.spg": b"next"}
        yield self.send(1, good)
        assert self.assembler.status()["damaged"] == []
        assert not self.assembler.failing

    @defer.inlineCallbacks
    def test_what_was_begun_is_gone_with_its_connection(self) -> Any:
        self.feed(*chunked(1, v1(b"x" * 5000))[:-1], *chunked(2, b"y" * 3000)[:1])
        yield self.assembler.settled()
        assert set(self.files()) == {"seg_1.spg.incoming", "seg_2.spg.incoming"}
        self.lose_connection()
        yield self.assembler.settled()
        assert self.files() == {}
        yield self.send(1, v1(b"x" * 5000))
        assert self.files() == {"seg_1.spg": v1(b"x" * 5000)}

    @defer.inlineCallbacks
    def test_a_full_disk(self) -> Any:
        """The kernel refuses to let a file grow: the segment is given up, and works once there is room."""
        content = v1(bytes(3_000_000))
        with file_limit(2_000_000):
            self.feed(*chunked(1, content, 1_000_000))
            yield self.assembler.settled()
        (error,) = self.failures
        assert isinstance(error, errors.SegmentNotStored)
        assert "segment 1 cannot be stored" in str(error)
        self.lose_connection()
        yield self.assembler.settled()
        assert self.files() == {}
        assert self.assembler.failing
        yield self.send(1, content)
        assert self.files() == {"seg_1.spg": content}
        assert not self.assembler.failing

    @defer.inlineCallbacks
    def test_a_write_that_fails_alone(self) -> Any:
        """What was to be written after it is not: no file comes together without the bytes between."""
        writev, calls, content = os.writev, [], bytes(8 * segments.WRITE_BYTES)

        def fail_once(handle: int, pieces: Sequence[memoryview]) -> int:
            calls.append(handle)
            if len(calls) == 3:
                raise OSError(5, "Input/output error")
            return writev(handle, pieces)

        self.patch(os, "writev", fail_once)
        self.feed(*chunked(1, content, len(content)))
        yield self.assembler.settled()
        assert isinstance(self.failures.pop(), errors.SegmentNotStored)
        assert self.failures == []
        assert len(calls) == 3
        assert self.files() == {}
        self.lose_connection()
        yield self.send(1, content)
        assert self.files() == {"seg_1.spg": content}

    @defer.inlineCallbacks
    def test_more_than_the_disk_has_room_for_is_refused_at_once(self) -> Any:
        self.feed(encode_chunk_start(ChunkHeader(1, 0, 2**32 - 1, 16 << 20)), bytes(16 << 20))
        yield self.assembler.settled()
        (error,) = self.failures
        assert isinstance(error, errors.LimitReached)
        assert "bytes free" in str(error)
        assert self.files() == {}

    @defer.inlineCallbacks
    def test_no_flipped_byte_puts_a_wrong_file_in_place(self) -> Any:
        """Any byte of a chunk, its headers included: the segment is right, or it is not there."""
        chance = random.Random(5)
        content = v1(chance.randbytes(2500))
        stream = b"".join(chunked(1, content))
        for at in [*range(5 + 16 + 16), *chance.sample(range(37, len(stream)), 60)]:
            flipped = bytearray(stream)
            flipped[at] ^= 1 << chance.randrange(8)
            try:
                self.feed(bytes(flipped))
            except errors.PeerError as error:
                self.failures.append(error)
            self.lose_connection()
            yield self.assembler.settled()
            placed = self.files()
            # A flipped id gives a whole file another name; nothing else comes through.
            assert all(found == content for found in placed.values()), at
            assert "seg_1.spg" not in placed, at
            yield self.clean()

    @defer.inlineCallbacks
    def clean(self) -> Any:
        for path in self.paths.segments.iterdir() if self.paths.segments.is_dir() else ():
            path.unlink()
        self.paths.manifest.unlink(missing_ok=True)
        yield self.restart()


class StartTests(AssemblerCase):
    @defer.inlineCallbacks
    def test_leftovers_are_cleared(self) -> Any:
        yield self.send(1, b"one")
        put(self.paths.segments, {2: b"renamed, and not registered"})
        (self.paths.segments / "seg_3.spg.incoming").write_bytes(b"a part")
        (self.paths.segments / "notes.txt").write_bytes(b"somebody's own")
        yield self.restart()
        assert self.files() == {"seg_1.spg": b"one", "notes.txt": b"somebody's own"}
        assert self.engine.statistics()["attached"] == 1

    @defer.inlineCallbacks
    def test_without_a_manifest_whole_files_stay_until_they_come(self) -> Any:
        put(self.paths.segments, {2: b"two"})
        yield self.restart()
        assert self.files() == {"seg_2.spg": b"two"}
        yield self.send(2, b"two")
        assert self.assembler.status()["received"] == 1

    @defer.inlineCallbacks
    def test_a_damaged_manifest(self) -> Any:
        yield self.send(1, b"one")
        yield self.assembler.stop()
        self.paths.manifest.write_bytes(b"SPGMAN01")
        self.make()
        with pytest.raises(errors.LocalFilesDamaged, match="or remove it: all segments are then received again"):
            yield self.assembler.start(None)
        assert self.files() == {"seg_1.spg": b"one"}

    @defer.inlineCallbacks
    def test_the_snapshots_crc(self) -> Any:
        yield self.assembler.installing(11, 100)
        yield self.assembler.installed(11)
        yield self.send(1, b"one")
        assert read_manifest(self.paths.manifest).snapshot_crc == 11  # type: ignore[union-attr]
        # Killed before the next snapshot was in place, and after that.
        yield self.assembler.installing(22, 200)
        yield self.restart(100)
        assert read_manifest(self.paths.manifest).snapshot_crc == 11  # type: ignore[union-attr]
        yield self.assembler.installing(22, 200)
        yield self.restart(200)
        manifest = read_manifest(self.paths.manifest)
        assert manifest is not None
        assert (manifest.snapshot_crc, manifest.wal_baseline, len(manifest.segments)) == (22, 0, 1)
        assert {path.name for path in self.paths.folder.iterdir()} == {"segments", "manifest.v10"}

    @defer.inlineCallbacks
    def test_a_registered_file_that_is_missing_is_received(self) -> Any:
        yield self.assembler.stop()
        self.paths.folder.mkdir(exist_ok=True)
        write_manifest(self.paths.manifest, Manifest(0, (ManifestSegment(4, "segments/seg_4.spg", 1),)))
        self.make()
        yield self.assembler.start(None)
        assert self.engine.statistics()["attached"] == 0
        yield self.send(4, b"four")
        assert self.listed() == [(4, "segments/seg_4.spg", crc32(b"four"))]


def shortened(pieces: Sequence[memoryview], chance: random.Random) -> list[memoryview]:
    """Some of the pieces, and the last of them perhaps not whole."""
    some = list(pieces[: chance.randint(1, len(pieces))])
    return [*some[:-1], some[-1][: chance.randint(1, len(some[-1]))]]


def in_page_cache(path: Path) -> bool:
    """Whether a file's first bytes are in memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return os.preadv(handle, [bytearray(4096)], 0, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


def leaves_the_page_cache(path: Path, content: bytes) -> bool:
    """Whether the file system drops what it is told to drop, and tells."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        try:
            before = in_page_cache(path)
        except OSError:
            return False
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, len(content), os.POSIX_FADV_DONTNEED)
        return before and not in_page_cache(path)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

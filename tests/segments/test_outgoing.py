"""Segments that a master serves: recorded exchanges byte for byte, new ones, turns with the log, changed files."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.base.reading import PIECE
from spgrepl.segments.manifest import Manifest, ManifestSegment, write_manifest
from spgrepl.segments.outgoing import SegmentFolder, SegmentRegistry
from spgrepl.segments.outgoing_cursor import SegmentCursor
from spgrepl.watch.status import to_json
from spgrepl.wire.segment_chunks import ChunkHeader, decode_chunk_header
from tests.master.kit import VECTORS, Master, Peer, frames, u64, wal_of
from tests.segments.samples import put, recorded_chunk, recorded_segments

_T = TypeVar("_T")


def at_once(call: Callable[[], _T]) -> Deferred[_T]:
    return execute(call)


def chunks(stream: bytes) -> list[tuple[ChunkHeader, bytes]]:
    """The chunks in a V2 stream."""
    return [
        (decode_chunk_header(payload, len(payload)), payload[16:]) for kind, payload in frames(stream) if kind == 3
    ]


def files(stream: bytes) -> list[tuple[int, bytes]]:
    """The segments in a V2 stream whose chunks do not interleave."""
    found: list[tuple[int, bytes]] = []
    for header, data in chunks(stream):
        number, before = found.pop() if header.seq else (header.segment, b"")
        assert number == header.segment
        found.append((number, before + data))
    return found


class SegmentCase(SynchronousTestCase):
    chunk = 1000

    def setUp(self) -> None:
        self.top = Path(self.mktemp())
        self.folder = self.top / "db.spg" / "segments"
        self.wal = (VECTORS / "mixed.wal").read_bytes()
        self.master = Master(self.top, self.wal, segments=SegmentFolder.of(self.folder, chunk=self.chunk))
        self.addCleanup(self.master.close)

    def follow(self, start: int = 622) -> Peer:
        return self.master.follow(start)

    def register(self, *named: tuple[int, str, int]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        segments = tuple(ManifestSegment(*one) for one in named)
        write_manifest(self.top / "db.spg" / "manifest.v10", Manifest(0, segments, 0))

    def look(self) -> None:
        """Let the time for looking into the folder come."""
        self.master.pass_time(1.2, 0.1)

    def dropped(self) -> dict[str, int]:
        found: dict[str, int] = to_json(self.master.hub.describe())["dropped"]
        return found


class VectorTests(SegmentCase):
    chunk = 4 * 1024 * 1024

    def test_byte_for_byte(self) -> None:
        put(self.folder, recorded_segments())
        self.master.source.content = (VECTORS / "snapshot.bin").read_bytes()
        self.master.source.position = len(self.wal)
        for name in ("v2_bootstrap", "v2_resume"):
            vector = json.loads((VECTORS / f"{name}.json").read_text())
            peer = self.master.connect()
            peer.send(bytes.fromhex(vector["hello"]))
            reply = peer.take()
            for _ in range(20):  # it lets others have their turn again and again
                self.master.pass_time(0.001)
                reply += peer.take()
            head = bytes.fromhex(vector["reply_head"])
            assert reply[: len(head)] == head
            got = [(kind, payload) for kind, payload in frames(reply[len(head) :]) if kind != 1]
            expected = []
            for one in vector["frames_without_status"]:
                if one["type"] == 3:
                    header = ChunkHeader(
                        one["segment_id"], one["chunk_seq"], one["chunk_total"], one["chunk_bytes"]
                    )
                    data = recorded_chunk(one)
                    payload = b"".join(
                        number.to_bytes(4, "little")
                        for number in (header.segment, header.seq, header.total, header.length)
                    )
                    expected.append((3, payload + data))
                else:
                    expected.append((one["type"], bytes.fromhex(one["hex"])))
            assert got == expected
            assert not peer.closing


class ServingTests(SegmentCase):
    def test_all_sizes_around_a_chunk_in_rising_id(self) -> None:
        contents = {12: b"a" * 1000, 3: b"", 7: b"b" * 1001, 100: b"c" * 999, 4: b"d" * 2000}
        put(self.folder, contents)
        (self.folder / "seg_5.spg.incoming").write_bytes(b"not whole")
        (self.folder / "seg_6.spg").mkdir()
        peer = self.follow()
        stream = peer.take()[8:]
        assert files(stream) == sorted(contents.items())
        assert [(header.seq, header.total) for header, _ in chunks(stream) if header.segment == 7] == [
            (0, 2),
            (1, 2),
        ]
        status = to_json(self.master.hub.describe())
        assert status["segments_served"]["count"] == 5
        sent = status["peers"][0]["segments"]
        assert sent.pop("rate") > 0
        assert sent == {"sent": 5, "of": 5, "bytes": 5000}

    def test_v1_gets_none(self) -> None:
        put(self.folder, {1: b"one"})
        peer = self.master.follow(600, version=1)
        assert peer.take() == u64(0) + self.wal[600:]

    def test_no_folder(self) -> None:
        peer = self.follow(600)
        assert wal_of(peer.take()[8:]) == self.wal[600:]

    def test_the_manifest_says_what_there_is(self) -> None:
        put(self.folder, {1: b"one", 2: b"two", 3: b"three"})
        self.register((1, "segments/seg_1.spg", 11), (3, "/var/lib/spg/db.spg/segments/seg_3.spg", 33))
        assert files(self.follow().take()[8:]) == [(1, b"one"), (3, b"three")]

    def test_what_is_registered_and_missing_is_told(self) -> None:
        put(self.folder, {1: b"one"})
        self.register((1, "seg_1.spg", 11), (2, "seg_2.spg", 22))
        assert files(self.follow().take()[8:]) == [(1, b"one")]
        assert to_json(self.master.hub.describe())["segments_served"]["missing"] == [2]

    def test_a_manifest_that_cannot_be_read(self) -> None:
        put(self.folder, {1: b"one"})
        (self.top / "db.spg" / "manifest.v10").write_bytes(b"SPGMAN01")
        peer = self.follow(600)
        stream = peer.take()[8:]
        assert (files(stream), wal_of(stream)) == ([], self.wal[600:])
        assert "ends after 8 bytes" in to_json(self.master.hub.describe())["segments_served"]["error"]

    def test_new_segments_come_between_wal_frames(self) -> None:
        put(self.folder, {5: b"five"})
        peer = self.follow()
        peer.take()
        self.look()
        put(self.folder, {9: b"nine" * 600, 2: b"two"})
        self.look()
        self.master.log.grow(b"more")
        stream = peer.take()
        assert files(stream) == [(2, b"two"), (9, b"nine" * 600)]
        assert wal_of(stream) == b"more"

    def test_a_file_that_is_still_being_written_waits(self) -> None:
        put(self.folder, {1: b"one"})
        peer = self.follow()
        peer.take()
        for size in range(1, 6):
            put(self.folder, {2: b"x" * size})
            self.master.pass_time(0.5, 0.5)
            assert files(peer.take()) == []
        self.look()
        assert files(peer.take()) == [(2, b"xxxxx")]

    def test_a_name_that_comes_within_one_tick_of_the_file_systems_clock(self) -> None:
        """It does not change the folder's time."""
        put(self.folder, {1: b"one"})
        peer = self.follow()
        peer.take()
        before = self.folder.stat()
        put(self.folder, {2: b"two"})
        os.utime(self.folder, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.look()
        assert files(peer.take()) == [(2, b"two")]

    def test_a_file_system_whose_clock_is_ahead(self) -> None:
        """A folder that rests is not listed again and again, whatever its clock says."""
        put(self.folder, {1: b"one"})
        os.utime(self.folder, (2e9, 4e9))
        self.follow()
        self.master.pass_time(4, 0.1)
        listed = self.master.threads.calls
        self.master.pass_time(4, 0.1)
        assert self.master.threads.calls == listed

    def test_a_segment_that_is_replaced_comes_again(self) -> None:
        self.register((1, "seg_1.spg", 11))
        put(self.folder, {1: b"old"})
        peer = self.follow()
        assert files(peer.take()[8:]) == [(1, b"old")]
        put(self.folder, {1: b"new"})
        self.register((1, "seg_1.spg", 12))
        self.look()
        assert files(peer.take()) == [(1, b"new")]

    def test_what_only_looks_like_a_segment_is_named(self) -> None:
        put(self.folder, {7: b"seven"})
        (self.folder / "seg_007.spg").write_bytes(b"another seven")
        (self.folder / f"seg_{2**64 - 1}.spg").write_bytes(b"too high")
        (self.folder / "seg_8.spg").symlink_to("/etc/hostname")
        self.look()
        peer = self.follow()
        assert files(peer.take()[8:]) == [(7, b"seven")]
        named = to_json(self.master.hub.describe())["segments_served"]["left_out"]
        assert [one.partition(":")[0] for one in named] == [
            "'seg_007.spg'",
            f"'seg_{2**64 - 1}.spg'",
            "'seg_8.spg'",
        ]
        self.register((7, "seg_7.spg", 1))
        self.look()
        assert to_json(self.master.hub.describe())["segments_served"]["left_out"] == []


class TurnTests(SegmentCase):
    """A peer that takes a piece at a time."""

    chunk = 1_000_000

    def stalled(self) -> Peer:
        """A follower whose transport takes one piece at a time: nothing is sent but on demand."""
        peer = self.master.connect()
        write = peer.transport.write

        def write_and_pause(data: bytes) -> None:
            write(data)
            if len(data) > 1000:
                peer.pause()

        peer.transport.write = write_and_pause  # type: ignore[method-assign]
        peer.send(b"SPGREPL\x02" + u64(622))
        return peer

    def test_a_growing_log_takes_turns_with_the_chunks(self) -> None:
        put(self.folder, {1: b"s" * 3_000_000})
        peer = self.stalled()
        data = peer.take()
        while len(data) < 300_000:
            peer.resume()
            data += peer.take()
        self.master.log.grow(b"fresh")
        for _ in range(30):
            peer.resume()
            data += peer.take()
        kinds = [kind for kind, _ in frames(data[8:]) if kind != 1]
        assert kinds == [3, 0, 3, 3]
        assert files(data[8:]) == [(1, b"s" * 3_000_000)]
        assert wal_of(data[8:]) == b"fresh"

    def test_no_status_stands_within_a_chunk(self) -> None:
        put(self.folder, {1: b"s" * 3_000_000})
        peer = self.stalled()
        data = peer.take()
        for _ in range(30):
            self.master.pass_time(0.2, 0.05)
            peer.resume()
            data += peer.take()
        assert files(data[8:]) == [(1, b"s" * 3_000_000)]
        # One is owed after each chunk, however many were due.
        assert [kind for kind, _ in frames(data[8:])][:5] == [3, 1, 3, 1, 3]

    def damaged(self, damage: object) -> None:
        path = self.folder / "seg_1.spg"
        put(self.folder, {1: b"s" * 3_000_000, 2: b"next"})
        peer = self.stalled()
        data = peer.take()
        for _ in range(3):
            peer.resume()
            data += peer.take()
        damage(path)  # type: ignore[operator]
        for _ in range(30):
            if not peer.closing:
                peer.resume()
                data += peer.take()
        assert peer.closing
        assert self.dropped() == {"read_failed": 1}
        assert b"next" not in data

    def test_a_file_that_shrinks(self) -> None:
        self.damaged(lambda path: os.truncate(path, 1_500_000))

    def test_a_file_that_grows(self) -> None:
        self.damaged(lambda path: os.truncate(path, 3_500_000))

    def test_a_file_that_vanishes(self) -> None:
        self.damaged(Path.unlink)

    def test_a_file_that_is_replaced(self) -> None:
        def replace(path: Path) -> None:
            path.with_name("new").write_bytes(b"new")
            path.with_name("new").rename(path)

        self.damaged(replace)

    def test_a_file_that_vanishes_before_its_turn(self) -> None:
        put(self.folder, {1: b"s" * 3_000_000, 2: b"next"})
        peer = self.stalled()
        (self.folder / "seg_2.spg").unlink()
        for _ in range(40):
            if not peer.closing:
                peer.resume()
        assert peer.closing
        assert self.dropped() == {"read_failed": 1}

    def test_files_are_closed_with_the_connection(self) -> None:
        put(self.folder, {1: b"s" * 3_000_000})
        before = len(os.listdir("/proc/self/fd"))
        peer = self.stalled()
        peer.resume()
        assert len(os.listdir("/proc/self/fd")) == before + 1
        peer.lose()
        assert len(os.listdir("/proc/self/fd")) == before


class BufferTests(SegmentCase):
    """Pieces are read into buffers that were used before, never into one that is still being sent."""

    chunk = 2 * PIECE

    def cursor(self, content: bytes) -> SegmentCursor:
        put(self.folder, {1: content})
        found = SegmentCursor(SegmentRegistry(Clock(), at_once, SegmentFolder.of(self.folder, chunk=self.chunk)))
        self.addCleanup(found.close)
        return found

    def pieces(self, cursor: SegmentCursor) -> Iterator[memoryview]:
        while cursor.waiting:
            found = cursor.next()
            piece = self.successResultOf(found) if isinstance(found, Deferred) else found
            if piece is not None:
                yield piece

    def test_pieces_that_are_kept_stay_what_they_are(self) -> None:
        content = random.Random(1).randbytes(7 * PIECE + 123)
        stream = b"".join(list(self.pieces(self.cursor(content))))
        assert files(stream) == [(1, content)]

    def test_pieces_that_were_sent_make_room(self) -> None:
        content = random.Random(2).randbytes(20 * PIECE)
        sent, buffers = b"", []
        for piece in self.pieces(self.cursor(content)):
            sent += piece
            if all(piece.obj is not one for one in buffers):
                buffers.append(piece.obj)
        assert files(sent) == [(1, content)]
        assert len(buffers) == 2

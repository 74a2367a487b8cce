"""Chunks of the log: where they are cut, what is held, and files that misbehave."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from spgrepl.base.reading import PIECE, FileReader
from spgrepl.errors import ConfigurationError, LocalFilesDamaged
from spgrepl.master.shared.feed import MOST_CHUNKS, Chunk, LogFeed
from tests.master.kit import FileLog, Threads, frame


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.content = os.urandom(3 * PIECE + 1000)
        self.log = FileLog(Path(self.mktemp()), self.content)
        self.threads = Threads()
        self.feed = LogFeed(self.log, self.threads, 2 * PIECE)
        self.addCleanup(self.log.close)
        self.addCleanup(self.feed.reset)

    def chunk(self, start: int) -> Chunk:
        found = self.feed.chunk(start)
        assert isinstance(found, Chunk)
        return found

    def test_chunks_end_at_boundaries_and_at_the_end(self) -> None:
        cuts = [0]
        while cuts[-1] < len(self.content):
            chunk = self.chunk(cuts[-1])
            assert bytes(chunk.raw) == self.content[chunk.start : chunk.end]
            assert bytes(chunk.framed) == frame(bytes(chunk.raw))
            cuts.append(chunk.end)
        assert cuts == [0, PIECE, 2 * PIECE, 3 * PIECE, 3 * PIECE + 1000]
        assert self.chunk(77).end == PIECE
        assert self.chunk(PIECE - 1).end == PIECE

    def test_held_chunks_are_the_same_object(self) -> None:
        assert self.chunk(5) is self.chunk(5)
        assert self.feed.reads == 1

    def test_chunks_cannot_be_written(self) -> None:
        with pytest.raises(TypeError):
            self.chunk(0).framed[0] = 1  # type: ignore[index]

    def test_what_is_held_is_bounded(self) -> None:
        for start in (0, PIECE, 2 * PIECE):
            self.chunk(start)
        assert sum(held.end - held.start for held in self.feed._held.values()) <= 2 * PIECE
        self.chunk(2 * PIECE)
        assert self.feed.reads == 3
        self.chunk(0)
        assert self.feed.reads == 4

    def test_many_small_chunks_are_bounded_in_number(self) -> None:
        """At a busy tail each chunk is a few bytes of the log, and far more of memory."""
        begins = len(self.content)
        for start in range(begins, begins + MOST_CHUNKS + 10):
            self.log.grow(b"x")
            assert self.chunk(start).end == start + 1
        assert len(self.feed._held) == MOST_CHUNKS
        assert self.feed._held_bytes == sum(held.end - held.start for held in self.feed._held.values())

    def test_the_least_recently_used_goes(self) -> None:
        first = self.chunk(0)
        self.chunk(PIECE)
        assert self.chunk(0) is first
        self.chunk(2 * PIECE)
        assert self.chunk(0) is first

    def test_buffers_are_used_again_but_never_under_a_connection(self) -> None:
        """A connection that is still sending a chunk keeps it, when others have long gone on."""
        self.log.grow(os.urandom(5 * PIECE))
        content = self.log.path.read_bytes()
        slow = self.chunk(0).raw[100:]
        buffers = set()
        for start in range(PIECE, 8 * PIECE, PIECE):
            chunk = self.chunk(start)
            assert bytes(chunk.raw) == content[start : chunk.end]
            buffers.add(id(chunk.framed.obj))
            del chunk
        assert bytes(slow) == content[100:PIECE]
        assert len(buffers) < 7

    def test_one_chunk_is_held_whatever_the_bound(self) -> None:
        feed = LogFeed(self.log, self.threads, 0)
        self.addCleanup(feed.reset)
        assert feed.chunk(0) is feed.chunk(0)

    def test_a_tail_that_has_grown_is_read_anew(self) -> None:
        start = 3 * PIECE + 500
        assert self.chunk(start).end == len(self.content)
        self.log.grow(b"more")
        chunk = self.chunk(start)
        assert bytes(chunk.raw) == self.content[start:] + b"more"
        assert self.feed._held_bytes == chunk.end - chunk.start

    def test_reset_forgets(self) -> None:
        old = self.chunk(3 * PIECE)
        self.log.lose()
        self.feed.reset()
        self.log.grow(bytes(len(self.content)))
        assert bytes(self.chunk(3 * PIECE).raw) == bytes(1000)
        assert bytes(old.raw) == self.content[3 * PIECE :]

    def test_own_descriptor(self) -> None:
        """The log's owner may close its descriptor, and the number be given again, while a thread reads."""
        self.patch(FileReader, "read_now", lambda *_: None)
        self.threads.hold()
        asked = self.feed.chunk(0)
        assert not isinstance(asked, Chunk)
        before = self.log.handle
        self.log.close()
        other = os.open("/dev/null", os.O_RDONLY)
        self.addCleanup(os.close, other)
        assert other == before
        self.threads.release()
        assert bytes(self.successResultOf(asked).raw) == self.content[:PIECE]

    def test_no_log(self) -> None:
        self.log.close()
        with pytest.raises(ConfigurationError):
            self.feed.chunk(0)

    def test_one_read_for_all_who_wait(self) -> None:
        self.patch(FileReader, "read_now", lambda *_: None)
        self.threads.hold()
        first, second = self.feed.chunk(0), self.feed.chunk(0)
        assert len(self.threads.held or []) == 1
        self.threads.release()
        assert not isinstance(first, Chunk)
        assert not isinstance(second, Chunk)
        assert self.successResultOf(first) is self.successResultOf(second)

    def test_failing_read(self) -> None:
        self.patch(FileReader, "read_now", lambda *_: None)
        os.truncate(self.log.path, 100)
        asked = self.feed.chunk(0)
        assert not isinstance(asked, Chunk)
        error = self.failureResultOf(asked, LocalFilesDamaged)
        assert "ends at 100" in str(error.value)
        assert self.feed._waiting == {}

    def test_reset_silences_reads_under_way(self) -> None:
        self.patch(FileReader, "read_now", lambda *_: None)
        for damage in (False, True):
            self.threads.hold()
            asked = self.feed.chunk(0)
            self.feed.reset()
            if damage:
                os.truncate(self.log.path, 100)
            self.threads.release()
            assert not isinstance(asked, Chunk)
            self.assertNoResult(asked)


@given(st.lists(st.integers(0, PIECE * 2), min_size=1, max_size=5), st.integers(1, PIECE * 3))
def test_any_starts_give_the_whole_log(tmp_path_factory: Any, starts: list[int], length: int) -> None:
    content = (b"0123456789abcdef" * (length // 16 + 1))[:length]
    log = FileLog(tmp_path_factory.mktemp("feed") / "log", content)
    feed = LogFeed(log, Threads(), PIECE)
    try:
        for start in starts:
            at = start
            while at < length:
                chunk = feed.chunk(at)
                assert isinstance(chunk, Chunk)
                assert bytes(chunk.raw) == content[at : chunk.end]
                at = chunk.end
    finally:
        feed.reset()
        log.close()

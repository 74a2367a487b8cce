"""What a feed of judged pieces holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from spgrepl.log.format.records import encode_statement
from spgrepl.master.judged.judged_feed import MOST_PIECES, Judging, RecordFeed
from spgrepl.master.judged.pieces import Piece
from tests.master.kit import FileLog, Threads

RECORD = encode_statement(b"INSERT INTO t VALUES (1)")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FileLog]:
    made = FileLog(tmp_path / "log", RECORD)
    yield made
    made.close()


def test_many_small_pieces_are_bounded_in_number(log: FileLog) -> None:
    """At a busy tail each piece is one record, and far more of memory."""
    feed = RecordFeed(Clock(), log, Threads())
    start = 0
    for _ in range(MOST_PIECES + 10):
        piece = feed.piece(start)
        assert isinstance(piece, Piece)
        start = piece.end
        log.grow(RECORD)
    assert feed.built == MOST_PIECES + 10
    assert len(feed._held) == MOST_PIECES
    assert feed._held_bytes == sum(piece.end - piece.start for piece in feed._held.values())
    assert feed.held(0) is None
    feed.reset()


def test_a_bound_in_bytes_holds_too(log: FileLog) -> None:
    feed = RecordFeed(Clock(), log, Threads(), Judging(cache_bytes=2 * len(RECORD)))
    start = 0
    for _ in range(5):
        piece = feed.piece(start)
        assert isinstance(piece, Piece)
        start = piece.end
        log.grow(RECORD)
    assert list(feed._held) == [3 * len(RECORD), 4 * len(RECORD)]
    feed.reset()

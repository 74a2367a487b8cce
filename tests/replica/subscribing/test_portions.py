"""Records of a SUB stream that may be committed together, and where in them a record is."""

from __future__ import annotations

from spgrepl.log.format.records import decode_record
from spgrepl.replica.subscribing.portions import Portion, crc_of, place_of, safe_stop
from spgrepl.wire.record_frames import RecordFrames
from tests.replica.subscribing.streams import frames_of, insert, inside

A, B = "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)"


def portion(frames: RecordFrames, first: int, stop: int) -> Portion:
    return Portion(frames, first, stop, 0)


def test_a_record_that_is_refused_at_once() -> None:
    frames = frames_of(0, insert(1), insert(2), insert(3))
    portions = [portion(frames, 0, 1), portion(frames, 1, 3)]
    assert place_of(portions, done=0, index=0) == (0, 0)
    assert place_of(portions, done=1, index=1) == (1, 2)


def test_a_record_that_is_refused_at_the_commit_is_counted_over_all() -> None:
    frames = frames_of(0, insert(1), insert(2), insert(3))
    portions = [portion(frames, 0, 1), portion(frames, 1, 3)]
    assert [place_of(portions, done=2, index=index) for index in range(3)] == [(0, 0), (1, 1), (1, 2)]


def test_what_stands_alone_stops_by_itself() -> None:
    frames = frames_of(0, insert(1), insert(2), insert(3))
    assert safe_stop(frames, 0, 2) == 2


def test_what_is_part_of_a_transaction_stops_before_that() -> None:
    frames = frames_of(0, insert(1), 9, inside(A), inside(B), 9, inside(A))
    assert safe_stop(frames, 0, 2) == 1
    assert safe_stop(frames, 2, 2) == 2
    assert safe_stop(frames, 0, 3) == 3


def test_the_crc_is_that_of_the_record() -> None:
    frames = frames_of(0, insert(1), inside(B))
    for index, record in enumerate((insert(1), inside(B))):
        decoded = decode_record(record, limit=1000)
        assert decoded is not None
        assert crc_of(frames, index) == decoded.crc

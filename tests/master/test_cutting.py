"""How a log is cut into pieces: whole units, and what stands in front of a fault."""

from __future__ import annotations

import itertools

import pytest

from spgrepl.errors import RecordError, StartInsideRecord
from spgrepl.master import cutting
from spgrepl.master.cutting import PieceCutter, work_through
from spgrepl.master.pieces import KnownUnit, Piece
from spgrepl.wal.records import encode_checkpoint, encode_mysql, encode_statement, encode_v2


def row(value: int) -> bytes:
    return encode_statement(b"INSERT INTO t VALUES (%d)" % value)


BEGIN, COMMIT, ROLLBACK = map(encode_v2, (b"BEGIN", b"COMMIT", b"ROLLBACK"))
ON_BOTH_SIDES = encode_statement(b"COMMIT; DELETE FROM t")


class Log:
    """A log in memory that may grow."""

    def __init__(self, *records: bytes) -> None:
        self.data = b"".join(records)
        self.reads: list[tuple[int, int]] = []
        self.cutter = PieceCutter(lambda: len(self.data), max_record=1000)

    def be_slow(self) -> None:
        """Let a second go by at every look at the clock."""
        self.cutter = PieceCutter(lambda: len(self.data), 1000, itertools.count().__next__)

    def piece(self, start: int, unit: KnownUnit | None = None) -> Piece | None:
        return work_through(self.cutter.build(start, unit), self.read)

    def read(self, start: int, size: int) -> bytes:
        self.reads.append((start, size))
        return self.data[start : start + size]


def bounds(piece: Piece | None) -> tuple[int, int]:
    assert piece is not None
    return piece.start, piece.end


def test_a_piece_ends_in_front_of_an_open_transaction() -> None:
    log = Log(row(1), row(2), BEGIN, row(3))
    assert bounds(log.piece(0)) == (0, 2 * len(row(1)))


def test_an_open_transaction_is_followed_once_and_waits_for_growth() -> None:
    log = Log(BEGIN, row(1))
    assert log.cutter.may_find(0)
    assert log.piece(0) is None
    assert not log.cutter.may_find(0)
    before = len(log.data)
    log.data += row(2) + COMMIT
    assert log.cutter.may_find(0)
    log.reads.clear()
    assert bounds(log.piece(0)) == (0, len(log.data))
    assert log.reads[0][0] == before


def test_what_a_cutter_forgets_it_follows_anew() -> None:
    log = Log(BEGIN, row(1))
    assert log.piece(0) is None
    log.cutter.reset()
    assert log.cutter.may_find(0)
    assert log.piece(0) is None


def test_a_long_transaction_comes_in_pieces_once_its_end_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BLOCK", 100)
    log = Log(BEGIN, *map(row, range(20)), ROLLBACK, row(1))
    position, unit, ends = 0, None, []
    while True:
        piece = log.piece(position, unit)
        assert piece is not None
        ends.append(piece.end)
        position, unit = piece.end, piece.unit
        if unit is None:
            break
        assert unit.end == len(log.data) - len(row(1))
        assert [one.start for one in unit.revoked] == [0]
    assert len(ends) > 3
    assert ends[-1] == len(log.data) - len(row(1))


@pytest.mark.parametrize("fault", [b"\0\0\0\xe0" + bytes(40), ON_BOTH_SIDES])
def test_what_stands_in_front_of_a_fault_is_a_piece(fault: bytes) -> None:
    front = (row(1), BEGIN, row(2), COMMIT, row(3), BEGIN, row(4))
    log = Log(*front, fault, row(5))
    place = len(b"".join(front[:5]))
    assert bounds(log.piece(0)) == (0, place)
    with pytest.raises(RecordError) as caught:
        log.piece(place)
    assert caught.value.position == len(b"".join(front))


def test_a_fault_outside_of_a_transaction_keeps_nothing_else_back() -> None:
    log = Log(row(1), encode_statement(b"DELETE FROM t; BEGIN"), row(2))
    assert bounds(log.piece(0)) == (0, len(row(1)))
    with pytest.raises(RecordError, match=r"at position 33: one record both begins or ends a transaction"):
        log.piece(len(row(1)))


def test_others_have_their_turn_while_many_records_are_judged() -> None:
    records = [row(1), encode_statement(b"DELETE FROM u"), encode_mysql(b"DELETE FROM `v`"), encode_checkpoint(0)]
    log = Log(*records * 500)
    at_once = log.piece(0)
    assert all(size for _, size in log.reads)
    log.be_slow()
    log.reads.clear()
    in_turns = log.piece(0)
    assert [size for _, size in log.reads].count(0) > 10
    assert at_once is not None
    assert in_turns is not None
    found = [(one.kind, sorted(one.tables)) for one in in_turns.owners]
    assert found == [(one.kind, sorted(one.tables)) for one in at_once.owners]
    assert found == found[:4] * 500
    assert [tables for _, tables in found[:4]] == [["t"], ["u"], ["v"], []]


def test_a_start_is_checked_against_a_place_that_is_known() -> None:
    log = Log(row(1), row(2), row(3))
    assert work_through(log.cutter.look_ahead(len(row(1)), 2 * len(row(1))), log.read) is None
    with pytest.raises(StartInsideRecord):
        work_through(log.cutter.look_ahead(1, 2 * len(row(1))), log.read)
    with pytest.raises(StartInsideRecord, match="does not meet the records at 40"):
        work_through(log.cutter.look_ahead(len(row(1)), 40), log.read)

"""How a log is cut into pieces: whole units, and what stands in front of a fault."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest

from spgrepl.catalogue.definitions import EVERY_TABLE
from spgrepl.catalogue.owners import parser as owner_parser
from spgrepl.errors import RecordError, StartInsideRecord
from spgrepl.log.format import lzss
from spgrepl.log.format.parser import cut_records
from spgrepl.log.format.records import (
    AtOnce,
    RecordType,
    encode_checkpoint,
    encode_mysql,
    encode_statement,
    encode_v2,
    encode_v3,
)
from spgrepl.master.judged import cutting
from spgrepl.master.judged.cutting import PieceCutter, work_through
from spgrepl.master.judged.pieces import KnownUnit, Piece


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


# -- bounds, each at its value and one beyond --------------------------------------------------------------------


def with_rows(count: int) -> bytes:
    rows = ",".join(f"('a' || 'b', x'00', NULL, f({number}))" for number in range(count))
    return encode_statement(f"WITH v AS (VALUES {rows}) INSERT INTO t SELECT * FROM v".encode())


def test_a_record_that_takes_long_to_judge_is_judged_elsewhere() -> None:
    log = Log(row(1), with_rows(33_400), row(2))
    log.cutter = PieceCutter(lambda: len(log.data), max_record=10**7)
    asked: list[object] = []
    work = log.cutter.build(len(row(1)))
    wanted = next(work)
    try:
        while True:
            asked.append(wanted)
            wanted = work.send(wanted() if callable(wanted) else log.read(*wanted))
    except StopIteration as done:
        piece = done.value
    assert any(callable(one) for one in asked)
    assert [sorted(owner.tables) for owner in piece.owners][:1] == [["t"]]


def cut_elsewhere(log: Log) -> tuple[Piece | None, int]:
    """Cut the piece at the front of a log; with how many calls in a thread."""
    log.cutter = PieceCutter(lambda: len(log.data), max_record=10**7)
    work, calls = log.cutter.build(0), 0
    wanted = next(work)
    try:
        while True:
            calls += callable(wanted)
            wanted = work.send(wanted() if callable(wanted) else log.read(*wanted))
    except StopIteration as done:
        return done.value, calls


@pytest.mark.parametrize("kind", [RecordType.SQL, RecordType.COMPRESSED])
def test_a_long_record_is_read_elsewhere(kind: RecordType) -> None:
    text = b"INSERT INTO t VALUES (x'" + random.Random(1).randbytes(400_000).hex().encode() + b"')"
    long = encode_v3(kind, text if kind is RecordType.SQL else b"\x01" + lzss.compress(text))
    piece, calls = cut_elsewhere(Log(long, row(1)))
    assert (bounds(piece), calls) == ((0, len(long)), 1)
    assert piece is not None
    assert list(piece.batch.sql) == [text]


def test_without_the_core_what_is_compressed_is_expanded_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are few and short are not, nor what is not compressed."""
    monkeypatch.setattr(cutting, "cut_records", partial(cut_records, core=None))
    monkeypatch.setattr(cutting, "IN_REACTOR", AtOnce(cutting.IN_REACTOR.record, 8192))
    many = [encode_statement(b"INSERT INTO t VALUES (%d, '%s')" % (one, b"x" * 8000)) for one in range(40)]
    short, plain = many[0], encode_v2(b"INSERT INTO t VALUES ('" + b"p" * 100_000 + b"')")
    assert len(short) < 8192 < sum(map(len, many))
    assert cut_elsewhere(Log(plain, short, plain))[1] == 0
    piece, calls = cut_elsewhere(Log(*many))
    assert calls == 0
    assert piece is not None
    assert 0 < len(piece.batch) < 40
    long = encode_statement(
        b"INSERT INTO t VALUES (x'" + random.Random(1).randbytes(20_000).hex().encode() + b"')"
    )
    piece, calls = cut_elsewhere(Log(long, short))
    assert calls == 1
    assert piece is not None
    assert len(piece.batch) == 2


def test_a_long_record_that_is_broken_is_named() -> None:
    broken = encode_v3(RecordType.COMPRESSED, b"\x01\x00\x00\x80\x00" + b"\xff" * 400_000)
    with pytest.raises(RecordError, match=r"at position 0: .*LZSS"):
        cut_elsewhere(Log(broken))


def test_a_record_that_cannot_be_judged_is_named_and_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"UPDATE a, " + b"b, " * 20 + b"c SET c.x = 1"
    for most, fine in ((51, True), (50, True), (49, False)):
        monkeypatch.setattr(owner_parser, "MOST_TOKENS", most)
        log = Log(row(1), encode_statement(text), row(2))
        if fine:
            piece = log.piece(0)
            assert piece is not None
            assert piece.owners[1].tables == {"c"}
        else:
            with pytest.raises(RecordError, match=r"at position 33: whose record this is .* more than 49"):
                log.piece(0)


@pytest.mark.parametrize("count", [127, 128, 129])
def test_as_many_records_as_are_judged_at_once(count: int) -> None:
    log = Log(*(encode_statement(b"DELETE FROM t%d" % number) for number in range(count)))
    piece = log.piece(0)
    assert piece is not None
    assert [sorted(owner.tables) for owner in piece.owners] == [[f"t{number}"] for number in range(count)]


def started_inside(log: Log, start: int) -> None:
    work_through(log.cutter.look_ahead(start, len(log.data)), log.read)


def test_a_start_inside_of_a_transaction_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what was rolled back would be given out."""
    monkeypatch.setattr(cutting, "_MOST_SCANS", 3)
    held = encode_v2(b"INSERT INTO t VALUES (1)")
    log = Log(*[part for _ in range(6) for part in (BEGIN, held, held, ROLLBACK)])
    unit = len(BEGIN) + 2 * len(held) + len(ROLLBACK)
    starts = [number * unit + len(BEGIN) for number in range(6)]
    for start in starts:
        started_inside(log, start)
    for start in starts:
        piece = log.piece(start)
        assert piece is not None
        assert piece.sift(EVERY_TABLE).records == 0


def test_more_starts_inside_than_are_remembered_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cutting, "MOST_STARTS", 2)
    held = encode_v2(b"INSERT INTO t VALUES (1)")
    log = Log(BEGIN, held, held, held, ROLLBACK)
    for number in (0, 1, 0, 1):
        started_inside(log, len(BEGIN) + number * len(held))
    with pytest.raises(RecordError, match="more than 2 subscribers have begun inside of transactions"):
        started_inside(log, len(BEGIN) + 2 * len(held))


@pytest.mark.parametrize("size", [-1, 0, 1])
def test_the_end_of_a_transaction_is_found_however_far_it_is(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(cutting, "LOOK_AHEAD", 1000)
    monkeypatch.setattr(cutting, "BLOCK", 200)
    held = encode_v2(b"INSERT INTO t VALUES (1)")
    count = 1000 // len(held) + size
    log = Log(BEGIN, *[held] * count, ROLLBACK, row(1))
    started_inside(log, len(BEGIN))
    piece = log.piece(len(BEGIN))
    assert piece is not None
    assert piece.sift(EVERY_TABLE).records == 0


def test_what_takes_effect_where_it_stands_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "LOOK_AHEAD", 1000)
    monkeypatch.setattr(cutting, "BLOCK", 200)
    log = Log(*map(row, range(500)))
    started_inside(log, len(row(0)))
    assert sum(size for _, size in log.reads) < 2000


def test_only_rows_state_an_origin() -> None:
    """In the log of an SPG server a comment is whatever a client wrote; it keeps nothing from anybody."""
    reader = 7
    forged = encode_statement(b"INSERT INTO t VALUES (1) /* origin %016x */" % reader)
    piece = Log(forged, forged).piece(0)
    assert piece is not None
    assert piece.sift(EVERY_TABLE, reader=reader).records == 2
    assert piece.sift(EVERY_TABLE, reader=reader, rows_from=len(forged)).records == 1
    assert Log(forged, forged).piece(0).sift(EVERY_TABLE, reader=reader, rows_from=0).records == 0  # type: ignore[union-attr]

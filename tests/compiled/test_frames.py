"""Frames of a SUB stream, and the digest of statements, compiled and in Python: the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.definitions import TableFilter
from spgrepl.catalogue.owners.owner import OwnerJudge
from spgrepl.compiled.core import Core
from spgrepl.engines.statement_digest import StatementDigest, python_digest
from spgrepl.errors import PeerError
from spgrepl.log.format import records
from spgrepl.log.format.parser import cut_records
from spgrepl.master.judged.pieces import Piece
from spgrepl.wire.frames import RowsBegin, encode_rows_begin, encode_skip, encode_status, encode_wal_header
from spgrepl.wire.record_frames import RecordFrameParser
from tests.compiled.kit import core, needs_core
from tests.compiled.test_records import mixtures, statements
from tests.log.samples import ONE_OF_EACH, cut, places

pytestmark = needs_core


def framed(record: bytes) -> bytes:
    return encode_wal_header(len(record)) + record


whole = st.one_of(
    st.builds(lambda sql: framed(records.encode_v2(sql)), statements),
    st.builds(lambda sql: framed(records.encode_statement(sql)), statements),
    st.sampled_from(ONE_OF_EACH).map(framed),
    st.integers(0, 10**6).map(encode_skip),
    st.integers(0, 10**6).map(lambda length: encode_status(length, 5)),
    st.builds(RowsBegin, st.integers(0, 10**6), st.integers(0, 2**64 - 1)).map(encode_rows_begin),
    st.binary(max_size=20).map(lambda data: b"\x09" + len(data).to_bytes(4, "little") + data),
    st.binary(max_size=20).map(framed),
)
streams = st.one_of(
    st.lists(whole, max_size=20).map(b"".join),
    st.builds(
        lambda parts, at, byte: (
            (s := b"".join(parts))[: at % (len(s) + 1)] + bytes((byte,)) + s[at % (len(s) + 1) + 1 :]
        ),
        st.lists(whole, max_size=20),
        st.integers(0, 10_000),
        st.integers(0, 255),
    ),
)


def parsed(pieces: list[bytes], most: int, one: Core | None) -> list[object]:
    """All that comes out, with the fault that ends it."""
    parser = RecordFrameParser(9, most, 2000, core=one)
    found: list[object] = []
    try:
        for piece in pieces:
            frames = parser.feed(piece)
            if frames is not None:
                records_of = [frames.record(index) for index in range(len(frames))]
                found.append((frames, records_of, parser.position, parser.passed_over))
    except PeerError as error:
        found.append((type(error), str(error)))
    return found


@given(streams, places, st.sampled_from([40, 1000, 10**6]))
def test_the_same_frames(stream: bytes, where: list[int], most: int) -> None:
    for pieces in ([stream], cut(stream, where)):
        assert parsed(pieces, most, core()) == parsed(pieces, most, None)


def test_a_record_longer_than_the_short_form() -> None:
    stream = framed(records.encode_v3(records.RecordType.SQL, b"x" * 70_000)) * 2
    for limit, most in ((10**6, 10**6), (69_999, 10**6), (10**6, 70_008)):
        found = [RecordFrameParser(0, most, limit, core=one) for one in (core(), None)]
        outcomes = []
        for parser in found:
            try:
                outcomes.append(repr(parser.feed(stream)))
            except PeerError as error:
                outcomes.append(repr(error))
        assert outcomes[0] == outcomes[1]


@given(mixtures, st.sampled_from([frozenset({"t"}), frozenset({"u"}), frozenset()]))
def test_the_same_pieces(log: bytes, tables: frozenset[str]) -> None:
    """What a filter makes of a piece of the log."""
    sifted = []
    for one in (core(), None):
        batch, _ = cut_records(log, 0, core=one)
        piece = Piece(batch, OwnerJudge().owners(batch))
        sifted.append((piece.sift(TableFilter(tables)), piece.rows_from, piece.changes))
    assert sifted[0] == sifted[1]


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(0, 2**32 - 1))
def test_the_same_digest(sqls: list[bytes], before: int) -> None:
    expected = python_digest(sqls, before)
    assert core().digest_of(sqls, before) == expected
    batch, _ = cut_records(b"".join(map(records.encode_v2, sqls)), 0)
    assert core().digest_of(batch.sql, before) == expected  # type: ignore[arg-type]
    digest = StatementDigest()
    digest.reset(before)
    digest.add(sqls)
    assert digest.pending == expected


@pytest.mark.parametrize("length", range(13))
def test_a_frame_that_ends_within_the_head_of_its_record(length: int) -> None:
    """Nothing behind it is looked at: the sanitizer shows that in `fuzz`, here the result is the reference's."""
    head = records.encode_v2(b"x" * 20)[:length]
    stream = encode_wal_header(length) + head
    found = []
    for one in (core(), None):
        parser = RecordFrameParser(0, 1000, 1000, core=one)
        try:
            found.append(repr(parser.feed(stream)))
        except PeerError as error:
            found.append(repr(error))
    assert found[0] == found[1]

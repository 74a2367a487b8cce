"""Frames of a SUB stream, and the digest of statements, compiled and in Python: the same."""

from __future__ import annotations

from array import array

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.definitions import TableFilter
from spgrepl.catalogue.owners.owner import OwnerJudge
from spgrepl.compiled.core import Core
from spgrepl.compiled.texts import ending_with, part_of
from spgrepl.engines.statement_digest import StatementDigest, python_digest
from spgrepl.errors import PeerError
from spgrepl.log.format import records
from spgrepl.log.format.parser import cut_records
from spgrepl.master.judged.pieces import Piece
from spgrepl.wire.frames import RowsBegin, encode_rows_begin, encode_skip, encode_status, encode_wal_header
from spgrepl.wire.record_frames import RecordFrameParser, RecordFrames
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


def plain(frames: RecordFrames | None) -> RecordFrames | None:
    """The same with columns that compare with those of the reference."""
    if frames is None:
        return None
    return attrs.evolve(frames, ends=list(frames.ends), sql=list(frames.sql))


def parsed(pieces: list[bytes], most: int, one: Core | None) -> list[object]:
    """All that comes out, with the fault that ends it."""
    parser = RecordFrameParser(9, most, 2000, core=one)
    found: list[object] = []
    try:
        for piece in pieces:
            frames = parser.feed(piece)
            if frames is not None:
                records_of = [frames.record(index) for index in range(len(frames))]
                found.append((plain(frames), records_of, parser.position, parser.passed_over))
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
                outcomes.append(repr(plain(parser.feed(stream))))
            except PeerError as error:
                outcomes.append(repr(error))
        assert outcomes[0] == outcomes[1]


@given(st.lists(st.one_of(statements, st.just(b"")), max_size=30), st.data())
def test_texts_of_frames_that_are_taken_away(sqls: list[bytes], data: st.DataObject) -> None:
    """Of some the SQL is taken away; then they are looked at, parts of them, too, and a digest is made."""
    stream = b"".join(
        framed(records.encode_statement(sql)) + encode_skip(number) * (number % 3)
        for number, sql in enumerate(sqls)
    )
    found = RecordFrameParser(0, core=core()).feed(stream)
    expected = list(sqls)
    texts = core().Statements(b"", array("q"), {}) if found is None else found.sql
    for at in data.draw(st.lists(st.integers(0, max(0, len(sqls) - 1)), max_size=5)) if sqls else []:
        texts[at] = expected[at] = b""
    assert texts == expected
    assert (b"" in texts) == (b"" in expected)
    assert core().digest_of(texts, 7) == python_digest(expected, 7)  # type: ignore[arg-type]
    first = data.draw(st.integers(0, len(sqls)))
    stop = data.draw(st.integers(first, len(sqls)))
    part = part_of(texts, first, stop)  # type: ignore[arg-type]
    assert part == expected[first:stop]
    assert ending_with(part, b"t") == ending_with(expected[first:stop], b"t")
    assert core().digest_of(part, 7) == python_digest(expected[first:stop], 7)  # type: ignore[arg-type]


def test_texts_that_would_lie_elsewhere_are_refused() -> None:
    def texts(ends: list[int], begins: list[int], others: dict[int, bytes] | None = None) -> object:
        return core().Statements(b"0123456789", array("q", ends), others or {}, array("q", begins))

    assert texts([4, 10], [1, 4]) == [b"123", b"456789"]
    assert texts([4, 10], [4, -1], {1: b"x"}) == [b"", b"x"]
    for ends, begins in (
        ([11], [0]),
        ([4], [5]),
        ([-1], [-1]),
        ([4], [-2]),
        ([2**62], [0]),
        ([4], []),
        ([4, 5], [1]),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
            texts(ends, begins)
    with pytest.raises(ValueError, match="back to back"):
        texts([4], [1]).framed(0, 1)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="another type"):
        core().Statements(b"0", array("q", [1]), {}, array("d", [0]))
    held = texts([4], [1])
    for at in (1, -1, 2**40):
        with pytest.raises(IndexError):
            held[at] = b"x"  # type: ignore[index]
    with pytest.raises(TypeError):
        held[0] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        core().digest_of(texts([4], [-1]), 0)  # type: ignore[arg-type]


def test_a_long_run_gives_up_the_lock_and_is_the_same() -> None:
    sqls = [b"INSERT INTO t VALUES (%d)" % number for number in range(9000)]
    stream = b"".join(framed(records.encode_statement(sql)) for sql in sqls)
    found = RecordFrameParser(0, core=core()).feed(stream)
    assert found is not None
    assert found.sql == sqls
    found.sql[4500] = sqls[4500] = b""
    assert core().digest_of(found.sql, 0) == python_digest(sqls, 0)  # type: ignore[arg-type]


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
            found.append(repr(plain(parser.feed(stream))))
        except PeerError as error:
            found.append(repr(error))
    assert found[0] == found[1]


def test_the_digest_of_long_texts() -> None:
    """Those for which the lock is given up, of a list and in the place of others."""
    sqls = [b"a", b"x" * 70_000, b"b", b"y" * 200_000]
    assert core().digest_of(sqls, 5) == python_digest(sqls, 5)
    found = core().Statements(b"", array("q", [0] * 4), dict(enumerate(sqls)), array("q", [-1] * 4))
    assert core().digest_of(found, 5) == python_digest(sqls, 5)  # type: ignore[arg-type]

"""Records cut by the compiled core and in Python: the same columns, and the same fault after them."""

from __future__ import annotations

import struct
from array import array
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.log_targets import repair_log
from spgrepl.compiled.texts import ending_with, is_compiled, part_of, with_semicolon
from spgrepl.log.format import records
from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.transactions.steps import records_to_look_at
from spgrepl.log.transactions.units import UnitCutter
from spgrepl.rows.origins import origins_in
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.compiled.kit import core, needs_core
from tests.log.samples import LONG_SQL, MIXED_LOG, ONE_OF_EACH, any_bytes, logs

pytestmark = needs_core

statements = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"BEGIN", b"COMMIT", b"", b"Delete from t", b"INSERTS", b"a;b", b"x */", LONG_SQL, ROWS_FROM_HERE]
    ),
    st.builds(b"INSERT INTO t(id)VALUES(%d)".__mod__, st.integers(0, 10**9)),
    st.builds(lambda size: b"update t set a = '" + b"x" * size + b"'", st.integers(0, 500)),
)
mixtures = st.lists(
    st.one_of(
        st.builds(records.encode_v1, statements),
        st.builds(records.encode_v2, statements),
        st.builds(records.encode_statement, statements),
        st.builds(records.encode_mysql, statements, st.booleans()),
        st.sampled_from(ONE_OF_EACH),
    ),
    max_size=30,
).map(b"".join)
changed = st.builds(
    lambda data, at, byte: repair_log(
        data[: at % (len(data) + 1)] + bytes((byte,)) + data[at % (len(data) + 1) + 1 :]
    ),
    mixtures,
    st.integers(0, 10_000),
    st.integers(0, 255),
)
cut_short = st.builds(lambda data, at: data[: at % (len(data) + 1)], mixtures, st.integers(0, 10_000))
limits = st.sampled_from([0, 8, 200, 2000, records.DEFAULT_MAX_RECORD, 2**31])


def both(data: bytes, limit: int = records.DEFAULT_MAX_RECORD) -> tuple[RecordBatch, RecordBatch]:
    """The batch that each of the two makes."""
    compiled, error = cut_records(data, 7, limit, core())
    plain, why = cut_records(data, 7, limit, None)
    assert (type(error), str(error)) == (type(why), str(why))
    assert is_compiled(compiled.sql)
    assert not is_compiled(plain.sql)
    return compiled, plain


@pytest.mark.parametrize("limit", [0xFFFE, 0xFFFF, 0x10000, 2**31])
@pytest.mark.parametrize("encode", [records.encode_v2, records.encode_statement])
def test_lengths_around_half_a_word(encode: object, limit: int) -> None:
    assert callable(encode)
    for size in (0xFFFE, 0xFFFF, 0x10000, 0x10001):
        for start in (b"INSERT ", b"insertx"):
            log = encode(b"UPDATE a") + encode(start.ljust(size, b"x")) + encode(b"UPDATE b")
            for data in (log, log[:-1], log[: size + 20], log[: size + 40]):
                compiled, plain = both(data, limit)
                assert list(compiled.ends) == list(plain.ends)
                assert compiled.special == plain.special


@given(st.one_of(mixtures, changed, cut_short, logs, any_bytes), limits)
def test_the_same_columns(data: bytes, limit: int) -> None:
    compiled, plain = both(data, limit)
    same(compiled, plain)
    assert list(compiled) == list(plain)
    assert records_to_look_at(compiled, len(plain)) == records_to_look_at(plain, len(plain))
    for count in {0, len(plain) // 2, len(plain)}:
        same(compiled.front(compiled.start_of(count)), plain.front(plain.start_of(count)))


def same(compiled: RecordBatch, plain: RecordBatch) -> None:
    assert (compiled.position, compiled.data, list(compiled.ends)) == (plain.position, plain.data, plain.ends)
    assert list(compiled.sql) == compiled.sql == plain.sql
    assert (compiled.special, compiled.types) == (plain.special, plain.types)


@given(mixtures, st.integers(0, 40), st.integers(0, 40), st.one_of(st.none(), statements))
def test_the_same_answers(data: bytes, first: int, last: int, wanted: bytes | None) -> None:
    compiled, plain = both(data)
    first, last = min(first, last, len(plain)), min(max(first, last), len(plain))
    texts, part = plain.sql, part_of(compiled.sql, first, last)
    assert len(compiled.sql) == len(texts)
    assert compiled.sql[first:last] == texts[first:last] == list(part)
    assert [compiled.sql[at] for at in range(-len(texts), len(texts))] == [*texts, *texts]
    assert (wanted in compiled.sql, wanted in part) == (wanted in texts, wanted in texts[first:last])
    if wanted in texts:
        assert compiled.sql.index(wanted) == texts.index(wanted)
    assert with_semicolon(compiled.sql, last) == with_semicolon(texts, last)
    assert ending_with(part, b" */") == ending_with(texts[first:last], b" */")
    assert origins_in(part) == origins_in(texts[first:last])


@given(mixtures, st.booleans())
def test_the_same_sections(data: bytes, every: bool) -> None:
    compiled, plain = (
        [(list(one.work.statements), one) for one in UnitCutter(every).cut(batch, len(batch))]
        if batch is not None
        else []
        for batch in (both_or_none(data, every))
    )
    assert [texts for texts, _ in compiled] == [texts for texts, _ in plain]
    assert [(one.stop, one.complete, one.work.runs, one.work.types) for _, one in compiled] == [
        (one.stop, one.complete, one.work.runs, one.work.types) for _, one in plain
    ]


def both_or_none(data: bytes, every: bool) -> tuple[RecordBatch | None, RecordBatch | None]:
    compiled, plain = both(data)
    # A mixture that is refused is refused by its statements, which are the same.
    texts = [text or b"" for text in plain.sql]
    return (compiled, plain) if every or not any(b";" in text for text in texts) else (None, None)


def test_recorded_log() -> None:
    compiled, plain = both(MIXED_LOG)
    same(compiled, plain)
    assert len(compiled) > 0


def test_more_records_than_are_cut_at_once() -> None:
    log = b"".join(records.encode_v2(b"BEGIN" if number % 3 else b"INSERT INTO t") for number in range(10_000))
    compiled, plain = both(log)
    same(compiled, plain)
    assert len(compiled) == 10_000


def test_checksums_of_every_length() -> None:
    content = bytes(range(256)) * 20
    for size in (*range(40), 4096, 5000):
        log = struct.pack("<II", 0x80000000 | size, crc32(content[:size])) + content[:size]
        ends: array[int] = array("q")
        assert core().cut_records(log + b"tail", 0, 9999, ends, [], {}) == len(log)
        wrong = log[:-1] + bytes((log[-1] ^ 1,))
        assert core().cut_records(wrong, 0, 9999, ends, [], {}) == 0
        assert list(ends) == [len(log)]


def test_what_is_not_there_is_not_read() -> None:
    texts = core().Statements(b"", array("q"), {})
    assert (len(texts), list(texts), texts.part(0, 0)[:]) == (0, [], [])
    log = records.encode_v2(b"text")
    held = core().Statements(log, array("q", [len(log)]), {})
    for at in (1, -2, 10**9):
        with pytest.raises(IndexError):
            held[at]
    for first, stop in ((0, 2), (-1, 1), (1, 0)):
        with pytest.raises(IndexError):
            held.part(first, stop)
    for first, stop in ((0, 2), (-1, 1)):
        with pytest.raises(IndexError):
            held.framed(first, stop)
    assert held.framed(1, 0) == held.framed(1, 1) == b""
    assert held.containing(b";", 10**9) == []


@pytest.mark.parametrize("ends", [[13], [0], [-1], [5, 5], [8, 4], [3], [2**62]])
def test_ends_outside_are_refused(ends: list[int]) -> None:
    with pytest.raises(ValueError, match="an end outside"):
        core().Statements(records.encode_v2(b"text"), array("q", ends), {})


@pytest.mark.parametrize("others", [{1: b""}, {-1: b""}, {0: bytearray(b"a")}, {0: "a"}])
def test_texts_of_no_record_are_refused(others: dict[int, bytes | None]) -> None:
    with pytest.raises(ValueError, match="a text of no record"):
        core().Statements(records.encode_v2(b"text"), array("q", [12]), others)


def test_columns_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="another type"):
        core().cut_records(b"", 0, 10, array("i"), [], {})
    with pytest.raises(ValueError, match="another type"):
        core().Statements(b"", array("d"), {})


def test_places_outside_are_refused() -> None:
    for at in (-1, 5):
        with pytest.raises(ValueError, match="a place outside"):
            core().cut_records(b"data", at, 10, array("q"), [], {})


def test_a_record_too_short_for_its_head_has_no_text() -> None:
    # Never made by `cut_records`: a v3 record of 8 bytes.
    texts = core().Statements(b"\0\0\0\xc0\0\0\0\0", array("q", [8]), {})
    assert list(texts) == [None]

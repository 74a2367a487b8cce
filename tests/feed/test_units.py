"""Which records are handed out as one: by BEGIN and COMMIT, or by the marks of what a subscription has applied."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from spgrepl.feed.units import (
    STATEMENTS_FROM_HERE,
    AppliedUnits,
    Content,
    IUnits,
    TransactionUnits,
    applied_mark,
    applied_position,
    content_of,
    is_mark,
    is_revoked,
)
from spgrepl.log.format.parser import RecordBatch, RecordParser
from spgrepl.log.format.records import encode_mysql, encode_v1
from spgrepl.log.transactions.groups import Revoked
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE


def batch_of(*statements: bytes) -> RecordBatch:
    parser = RecordParser(0, 10_000)
    parser.feed(b"".join(map(encode_v1, statements)))
    found = parser.next_batch()
    assert found is not None
    assert len(found) == len(statements)
    return found


def test_both_follow_a_log() -> None:
    for units in (TransactionUnits(), AppliedUnits()):
        verifyObject(IUnits, units)


@settings(max_examples=40)
@given(st.lists(st.sampled_from([b"BEGIN", b"COMMIT", b"INSERT INTO t VALUES (1)"]), min_size=1, max_size=10))
def test_transactions_that_overlap_end_with_the_last_commit(statements: list[bytes]) -> None:
    units, batch = TransactionUnits(), batch_of(*statements)
    begin: int | None = None
    depth = 0
    for index, sql in enumerate(statements):
        ended = units.take(batch, index)
        assert ended == (sql == b"COMMIT" and depth == 1)
        if sql == b"BEGIN":
            begin = batch.start_of(index) if depth == 0 else begin
            depth += 1
        elif sql == b"COMMIT":
            depth = max(0, depth - 1)
            begin = begin if depth else None
        assert units.begin == begin
        assert units.marks == (begin is not None)
        assert units.content(batch, index) == ([Content(sql)] if sql.startswith(b"INSERT") else [])


@settings(max_examples=40)
@given(st.lists(st.booleans(), min_size=1, max_size=10))
def test_what_was_applied_as_one_ends_with_its_mark(marks: list[bool]) -> None:
    statements = [applied_mark(number) if one else b"DELETE FROM t" for number, one in enumerate(marks)]
    units, batch = AppliedUnits(), batch_of(*statements)
    begin: int | None = None
    for index, one in enumerate(marks):
        assert units.take(batch, index) == (one and begin is not None)
        begin = None if one else batch.start_of(index) if begin is None else begin
        assert units.begin == begin
        assert units.content(batch, index) == ([] if one else [Content(b"DELETE FROM t")])
    assert units.take_revoked() == ()


@given(st.integers(0, 2**63 - 1))
def test_a_mark_is_read_from_its_text(position: int) -> None:
    assert applied_position(applied_mark(position)) == position
    for other in (applied_mark(position)[:-1], b" " + applied_mark(position), None, b"DELETE FROM t"):
        assert applied_position(other) is None


@given(st.sets(st.integers(0, 20), max_size=6), st.integers(-1, 21))
def test_what_was_rolled_back(starts: set[int], position: int) -> None:
    revoked = [Revoked(start, start + 1) for start in sorted(starts)]
    assert is_revoked(revoked, position) == (position in starts)


def test_marks_and_dialects() -> None:
    assert [is_mark(sql) for sql in (ROWS_FROM_HERE, STATEMENTS_FROM_HERE, b"-- x")] == [True, True, False]
    parser = RecordParser(0, 10_000)
    parser.feed(encode_mysql(b"DELETE FROM `t`"))
    batch = parser.next_batch()
    assert batch is not None
    assert content_of(batch, 0) == [Content(b"DELETE FROM `t`", mysql=True)]
    with pytest.raises(AttributeError):
        Content(b"x").sql = b"y"  # type: ignore[misc]

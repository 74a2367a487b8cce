"""Owners looked up by the compiled core and in Python: the same tables for every record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.owners.owner import OwnerJudge, OwnerKind
from spgrepl.log.format import records
from spgrepl.log.format.parser import RecordBatch, cut_records
from tests.compiled.kit import core, needs_core

pytestmark = needs_core

names = st.sampled_from([b"t", b"u", b'"x y"', b"public.t", b"`b`", b"t" * 200, "ä".encode(), b"or"])
tails = st.sampled_from([b"1)", b"'a;b')", b"'\xff')", "'ü')".encode(), b"1); DELETE FROM z", b"", b"'a b c d')"])
texts = st.one_of(
    st.builds(lambda name, tail: b"INSERT INTO " + name + b" VALUES (" + tail, names, tails),
    st.builds(lambda name, tail: b"INSERT INTO " + name + b"(id,name)VALUES(" + tail, names, tails),
    st.builds(lambda name, tail: b"UPDATE " + name + b" SET a='" + tail, names, tails),
    st.builds(lambda name, tail: b"update  " + name + b"  set  a='" + tail, names, tails),
    st.builds(lambda name, tail: b"DELETE FROM " + name + b" WHERE id=" + tail, names, tails),
    st.builds(lambda name, tail: b"DELETE FROM " + name + b" USING u" + tail, names, tails),
    st.builds(lambda name, tail: b"REPLACE INTO " + name + b" " + tail, names, tails),
    st.sampled_from([b"BEGIN", b"COMMIT", b"CREATE TABLE t (a)", b"SELECT 1", b"(", b"U a b c d", b"a b c ", b""]),
    st.binary(max_size=30),
)
kinds = st.sampled_from([records.encode_v2, records.encode_statement, records.encode_mysql])
logs = st.lists(st.builds(lambda kind, text: kind(text), kinds, texts), max_size=40).map(b"".join)


def owners(judge: OwnerJudge, batch: RecordBatch) -> list[tuple[OwnerKind, frozenset[str]]]:
    return [(owner.kind, owner.tables) for owner in judge.owners(batch)]


@given(st.lists(logs, max_size=4), st.integers(0, 50), st.integers(0, 50))
def test_the_same_owners(parts: list[bytes], first: int, stop: int) -> None:
    """What was learned from one batch is used for the next."""
    compiled, plain = OwnerJudge(), OwnerJudge()
    for part in parts:
        batch, reference = (cut_records(part, 0, core=one)[0] for one in (core(), None))
        assert owners(compiled, batch) == owners(plain, reference)
        for judge, whole in ((compiled, batch), (plain, reference)):
            known = judge.known_owners(whole, 0)
            assert known == judge.owners(whole)[: len(known)]
        found = [(one.kind, one.tables) for one in compiled.owners(batch, first, stop)]
        assert found == [(one.kind, one.tables) for one in plain.owners(reference, first, stop)]


def test_one_table_takes_one_object() -> None:
    log = b"".join(records.encode_statement(b"INSERT INTO t(id)VALUES(%d)" % number) for number in range(100))
    batch, _ = cut_records(log, 0)
    judge = OwnerJudge()
    (owner,) = set(judge.owners(batch))
    assert owner.tables == {"t"}
    assert judge.known_owners(batch, 0) == [owner] * 100


def test_without_a_core_they_are_known_where_all_begin_alike() -> None:
    log = b"".join(records.encode_statement(b"INSERT INTO t(id)VALUES(%d)" % number) for number in range(100))
    other = b"".join(map(records.encode_statement, [b"INSERT INTO u VALUES(1)", b"INSERT INTO t(id)VALUES(';')"]))
    judge = OwnerJudge()
    batch, more = (cut_records(one, 0, core=None)[0] for one in (log, log + other))
    assert judge.known_owners(batch, 0) == []
    (owner,) = set(judge.owners(batch))
    assert judge.known_owners(batch, 0) == [owner] * 100
    assert judge.known_owners(batch, 1) == []
    assert judge.known_owners(more, 0) == []
    several, _ = cut_records(
        log + records.encode_statement(b"INSERT INTO t(id)VALUES(1); DROP TABLE t"), 0, core=None
    )
    assert judge.known_owners(several, 0) == []
    mysql, _ = cut_records(log + records.encode_mysql(b"INSERT INTO t(id)VALUES(1)"), 0, core=None)
    assert judge.known_owners(mysql, 0) == []


def test_canonical_text_is_known_by_its_target() -> None:
    """Its values come before the first blank, so the bytes up to that are never the same."""
    for form in (
        b"INSERT INTO some_table(id,name)VALUES(%d,'a b')",
        b"UPDATE t SET a=%d WHERE b=1",
        b"DELETE FROM t WHERE a=%d",
    ):
        batch, _ = cut_records(b"".join(records.encode_v2(form % number) for number in range(50)), 0)
        judge = OwnerJudge()
        judge.owners(batch, 0, 1)
        assert len(judge.known_owners(batch, 0)) == 50


def test_records_of_mysql_are_read_by_other_rules() -> None:
    plain = records.encode_v2(b'INSERT INTO "t" VALUES (1)')
    mysql = records.encode_mysql(b'INSERT INTO "t" VALUES (1)')
    batch, _ = cut_records(plain + mysql + plain, 0)
    reference, _ = cut_records(plain + mysql + plain, 0, core=None)
    judge = OwnerJudge()
    assert owners(judge, batch) == owners(OwnerJudge(), reference)
    assert len(judge.known_owners(batch, 0)) == 1
    assert len(judge.known_owners(batch, 2)) == 1


def test_records_outside_are_not_looked_at() -> None:
    batch, _ = cut_records(records.encode_v2(b"INSERT INTO t(a)VALUES(1)"), 0)
    judge = OwnerJudge()
    judge.owners(batch)
    for first, stop in ((0, 5), (-3, 1), (1, 2)):
        with pytest.raises(IndexError):
            core().known_owners(batch.sql, first, stop, judge._known, [])  # type: ignore[arg-type]

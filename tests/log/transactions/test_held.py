"""The statements of transactions that have ended, read again from the log."""

from __future__ import annotations

import pytest

from spgrepl.log.format.records import RecordType, encode_checkpoint, encode_mysql
from spgrepl.log.transactions.groups import Revoked
from spgrepl.log.transactions.held import held_work
from tests.log.transactions.batches import alone, batch

A, B, C = ("INSERT INTO t VALUES (1)", "UPDATE t SET a = 2", "DELETE FROM t")


def statements(*texts: str | bytes, begin: int = 0, revoked: tuple[Revoked, ...] = ()) -> list[str]:
    return [sql.decode() for sql in held_work(batch(*texts), begin, revoked).statements]


def test_all_between_begin_and_end() -> None:
    assert statements("BEGIN", A, B, "COMMIT") == [A, B]
    assert statements("BEGIN", A, "SAVEPOINT s", B, "RELEASE s", encode_checkpoint(0), C, "COMMIT") == [A, B, C]


def test_what_stands_in_front_belongs_to_others() -> None:
    found = batch(A, "BEGIN", B, "COMMIT")
    assert held_work(found, found.start_of(1), ()).statements == [B.encode()]


def test_what_was_committed_by_itself_has_taken_effect_already() -> None:
    assert statements("BEGIN", A, alone(B), C, "COMMIT") == [A, C]


def test_what_was_taken_back_is_left_out() -> None:
    texts = ("BEGIN", A, "SAVEPOINT s", B, "ROLLBACK TO s", C, "COMMIT")
    found = batch(*texts)
    revoked = (Revoked(found.start_of(2), found.start_of(5)),)
    assert held_work(found, 0, revoked).statements == [A.encode(), C.encode()]


def test_a_record_may_be_skipped() -> None:
    assert held_work(batch("BEGIN", A, B, "COMMIT"), 0, (), skip=1).statements == [B.encode()]


def test_each_statement_knows_its_record_and_its_type() -> None:
    work = held_work(batch("BEGIN", A, "SAVEPOINT s", encode_mysql(B.encode()), "COMMIT"), 0, ())
    assert [work.origin(number) for number in range(2)] == [1, 3]
    assert work.types == {1: RecordType.MYSQL}


@pytest.mark.parametrize("first", [f"BEGIN; {A}", f"BEGIN;{A};"])
def test_a_record_that_opens_or_ends_beside_its_statement(first: str) -> None:
    assert [one.strip("; ") for one in statements(first, B, f"{C}; COMMIT")] == [A, B, C]


def test_statements_of_replication_are_kept_apart() -> None:
    work = held_work(batch("BEGIN", A, "CREATE PUBLICATION p FOR ALL TABLES", B, "COMMIT"), 0, ())
    assert work.statements == [A.encode(), B.encode()]
    assert [(one.before, one.record) for one in work.controls] == [(1, 2)]

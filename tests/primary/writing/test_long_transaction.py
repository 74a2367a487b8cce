"""A transaction whose statements come one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.requests import Written
from spgrepl.primary.writing.long_transaction import LongTransaction
from tests.primary.copying import Writer, assert_same_on_copy, opened

CREATE = "CREATE TABLE t (a INTEGER PRIMARY KEY)"
ROW = "INSERT INTO t VALUES (1)"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path, CREATE) as made:
        yield made


@pytest.fixture
def transaction(writer: Writer) -> Iterator[LongTransaction]:
    made = LongTransaction(writer)
    made.begin()
    yield made
    made.rollback()


def test_nothing_is_seen_or_logged_before_the_commit(writer: Writer, transaction: LongTransaction) -> None:
    before = writer.logged()
    transaction.run(ROW, None)
    transaction.run("INSERT INTO t VALUES (?)", None, [(2,), (3,)])
    found = transaction.run("SELECT count(*) FROM t", None)
    assert found is not None
    assert found.rows == [(3,)]
    assert (writer.rows("SELECT * FROM t"), writer.logged()) == ([], before)
    answer = transaction.commit()
    assert isinstance(answer, Written)
    assert writer.rows("SELECT a FROM t") == [(1,), (2,), (3,)]
    assert answer.position > 0
    assert_same_on_copy(writer)


def test_a_rollback_leaves_nothing(writer: Writer, transaction: LongTransaction) -> None:
    before = writer.logged()
    transaction.run(ROW, None)
    transaction.rollback()
    transaction.rollback()
    assert (writer.rows("SELECT * FROM t"), writer.logged()) == ([], before)
    writer.execute(ROW)


def test_a_statement_that_fails_leaves_no_trace_and_the_transaction_goes_on(
    writer: Writer, transaction: LongTransaction
) -> None:
    transaction.run(ROW, None)
    with pytest.raises(StatementFailed) as failed:
        transaction.run(ROW, None)
    assert failed.value.number == 2
    transaction.run("INSERT INTO t VALUES (2)", None)
    assert isinstance(transaction.commit(), Written)
    assert writer.rows("SELECT a FROM t") == [(1,), (2,)]


def test_a_transaction_that_a_statement_ended_is_named_as_ended(
    writer: Writer, transaction: LongTransaction
) -> None:
    transaction.run(ROW, None)
    with pytest.raises(StatementFailed):
        transaction.run("INSERT OR ROLLBACK INTO t VALUES (1)", None)
    with pytest.raises(StatementFailed, match="was rolled back by a statement before"):
        transaction.run("INSERT INTO t VALUES (2)", None)
    answer = transaction.commit()
    assert isinstance(answer, StatementFailed)
    assert writer.rows("SELECT a FROM t") == []

"""Words that no record for a subscriber may begin with."""

from __future__ import annotations

import pytest

from spgrepl.engines.targets.transaction_words import refuse_transaction_control
from spgrepl.errors import StatementRefused

ROW = b"INSERT INTO t VALUES (1)"


@pytest.mark.parametrize("word", [b"BEGIN", b"COMMIT;", b"end", b"ROLLBACK", b"SAVEPOINT a", b"/* x */ COMMIT"])
def test_what_would_part_rows_and_position(word: bytes) -> None:
    with pytest.raises(StatementRefused, match="transaction control is not for subscribers") as refused:
        refuse_transaction_control([ROW, word, ROW])
    assert (refused.value.index, refused.value.sql) == (1, word)


@pytest.mark.parametrize(
    "sql",
    [
        ROW,
        b"delete from t",
        b"CREATE TABLE begin_ (a)",
        b"CREATE PUBLICATION p",
        b"BEGIN; SELECT 1; COMMIT",
        b"\xff",
    ],
)
def test_what_is_none(sql: bytes) -> None:
    refuse_transaction_control([ROW, sql])

"""What was skipped and approximated, counted with the rows that it is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.spgsql.counts import Counts


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        yield made


def test_what_is_committed_counts_and_is_there_again(connection: apsw.Connection) -> None:
    counts = Counts(connection)
    for _ in range(2):
        counts.skip("GRANT")
        counts.approximate("t", "now()")
        counts.store()
        counts.committed()
    expected = {"skipped": {"GRANT": 2}, "approximated": {"t": {"now()": 2}}}
    assert counts.as_values() == expected
    assert Counts(connection).as_values() == expected


def test_what_is_undone_does_not_count(connection: apsw.Connection) -> None:
    counts = Counts(connection)
    connection.execute("BEGIN")
    counts.skip("GRANT")
    counts.store()
    connection.execute("ROLLBACK")
    counts.undone()
    counts.store()
    counts.committed()
    assert counts.as_values() == Counts(connection).as_values() == {"skipped": {}, "approximated": {}}
    counts.skip("GRANT")
    counts.store()
    counts.committed()
    assert Counts(connection).as_values()["skipped"] == {"GRANT": 1}

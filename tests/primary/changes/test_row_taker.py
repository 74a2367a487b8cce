"""The compiled core takes rows as the code in Python does; the sweep of single changes is in tests/compiled."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.primary.changes import recorder, row_taker
from spgrepl.primary.changes.row_taker import RowTaker
from tests.compiled.kit import core, needs_core
from tests.primary.changes.recorded import Recorded

SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b)",
    'CREATE TABLE "50%" (a, "%s" TEXT)',
    "CREATE TABLE k (a TEXT, b INT, c, PRIMARY KEY (b, a)) WITHOUT ROWID",
)
COUNT = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {0})"
STATEMENTS = [
    f"{COUNT} INSERT INTO t (a, b) SELECT i, iif(i % 3, 'it''s', NULL) FROM n",
    f"{COUNT} INSERT INTO \"50%\" SELECT i / 2.0, CAST(x'ff' AS TEXT) || i FROM n",
    f"{COUNT} INSERT OR IGNORE INTO k SELECT 'x' || i, i % 3, zeroblob(i) FROM n",
    "UPDATE t SET a = iif(id % 4, a, {0})",
    'UPDATE "50%" SET "%s" = {0} WHERE rowid < 7',
    "UPDATE k SET c = -0.0, b = b + 10",
    "DELETE FROM k WHERE b < {0}",
    'DELETE FROM "50%"',
]
courses = st.lists(st.tuples(st.sampled_from(STATEMENTS), st.integers(1, 12)), max_size=6)


def recorded_of(work: list[tuple[str, int]]) -> list[str]:
    recorded = Recorded(*SCHEMA)
    with closing(recorded.connection):
        for sql, number in work:
            recorded.run(sql.format(number))
        return recorded.statements()


@needs_core
@settings(max_examples=40)
@given(courses)
def test_the_core_and_python_write_the_same_records(work: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "row_taker", lambda _other, _full: None)
        expected = recorded_of(work)
    assert recorded_of(work) == expected


@needs_core
def test_after_a_group_that_it_could_not_take_it_rests() -> None:
    taker = RowTaker(core(), lambda _: None, lambda: None)
    assert taker.begin_group()
    taker.refuse()
    assert taker.end_group() is None
    taker.drop()
    tries = 0
    while not taker.begin_group():
        tries += 1
    assert tries == 100


@needs_core
def test_what_was_dropped_is_forgotten() -> None:
    taker = RowTaker(core(), lambda _: None, lambda: None)
    assert taker.begin_group()
    assert taker.grouped
    taker.drop()
    assert not taker.grouped
    assert taker.begin_group()
    assert taker.began()
    assert taker.end_group() == (b"", [0], 0, {})


def test_there_is_none_without_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_taker, "CORE", None)
    assert row_taker.row_taker(lambda _: None, lambda: None) is None

"""Rows that the core writes down as SQLite reports them, against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.row_changes import (
    LAYOUTS,
    Change,
    group_of_core,
    group_of_reference,
    run_of_core,
    run_of_reference,
)
from spgrepl.compiled.core import CORE
from spgrepl.primary.changes.row_taker import RowTaker, plan_of
from spgrepl.primary.parts.requests import Request
from tests.compiled.kit import core, needs_core
from tests.primary.copying import Writer, assert_same_on_copy, opened
from tests.rows.strategies import values

pytestmark = needs_core

numbers = st.integers(-(2**63), 2**63 - 1)
layouts = st.sampled_from(LAYOUTS)
operations = st.sampled_from([apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE])
long_texts = st.integers(200, 300).map(lambda size: "x" * size)
cells = st.one_of(values, values, st.sampled_from(["same", 1, 1.0, None]), long_texts)


@st.composite
def changes(draw: st.DrawFn, operation: int, layout: Any) -> Change:
    old, new = (tuple(draw(st.lists(cells, min_size=2, max_size=2))) for _ in range(2))
    number, new_number = draw(numbers), draw(numbers)
    if draw(st.booleans()) or layout.number_is_key:
        new_number = number
    if layout.number_is_key:
        # As SQLite has it: the key is the number.
        old, new = (number, old[1]), (new_number, new[1])
    return Change(layout.name, operation, old, new, number, new_number)


@given(st.data(), layouts, operations)
def test_the_same_run(data: st.DataObject, layout: Any, operation: int) -> None:
    given_ones = data.draw(st.lists(changes(operation, layout), max_size=8))
    assert run_of_core(core(), layout, given_ones) == run_of_reference(layout, given_ones)


@given(st.data(), layouts)
def test_the_same_group(data: st.DataObject, layout: Any) -> None:
    kinds = st.sampled_from([apsw.SQLITE_INSERT, apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE])
    statement = kinds.flatmap(lambda kind: st.lists(changes(kind, layout), max_size=3))
    statements = data.draw(st.lists(statement, min_size=1, max_size=5))
    found = group_of_core(core(), layout, statements)
    assert found is None or found == group_of_reference(layout, statements)


def test_a_group_of_inserts_is_taken() -> None:
    for layout in LAYOUTS:
        row = [
            Change(layout.name, apsw.SQLITE_INSERT, (), (number, "x" * 400), number, number) for number in (1, 2)
        ]
        statements = [row[:1], [], row, row[1:]]
        found = group_of_core(core(), layout, statements)
        assert found is not None
        assert found == group_of_reference(layout, statements)


def refused(**changed: Any) -> bool:
    change = attrs.evolve(Change("t", apsw.SQLITE_INSERT, (), (1, 2), 1, 1), **changed)
    return group_of_core(core(), LAYOUTS[0], [[change]]) is None


def test_a_group_leaves_alone_what_is_rare() -> None:
    assert not refused()
    assert refused(opcode=apsw.SQLITE_DELETE)
    assert refused(opcode=99)
    assert refused(database_name="other")
    assert refused(new=(1,))
    assert refused(new=(1, 2**63))
    assert refused(new=[1, 2])
    assert refused(new=(1, "\ud800"))


def test_a_long_group_is_left_alone() -> None:
    rows = [Change("t", apsw.SQLITE_INSERT, (), (number, "x" * 1000), number, number) for number in range(1100)]
    assert group_of_core(core(), LAYOUTS[0], [rows[:1000]]) is not None
    assert group_of_core(core(), LAYOUTS[0], [rows]) is None


def test_calls_in_another_order_do_no_harm() -> None:
    others: list[Any] = []
    taker = core().RowTaker(others.append, None, None, None, None, 100)
    taker.take(1)
    assert taker.next() is False
    with pytest.raises(ValueError, match="no group"):
        taker.end_group()
    taker.begin_group({})
    with pytest.raises(ValueError, match="no group"):
        taker.end_group()
    taker.take(Change("t", apsw.SQLITE_INSERT, (), (1, 2), 1, 1))
    assert taker.next()
    taker.refuse()
    assert taker.unfit
    assert taker.next() is False
    taker.drop()
    taker.take(2)
    assert others == [1, 2]
    taker.begin(plan_of(LAYOUTS[0], core()), apsw.SQLITE_DELETE)
    taker.take(3)
    assert others == [1, 2, 3]
    assert taker.taken() == (b"", 0, 0, {})


@pytest.mark.parametrize(
    ("columns", "places", "where", "keys", "error"),
    [
        ([], [], [b"x"], [0], ValueError),
        ([b"a="], [0, 1], [b"x"], [0], ValueError),
        ([b"a="], [0], [], [], ValueError),
        ([b"a="], [0], [b"x"], [0, 1], ValueError),
        (["a="], [0], [b"x"], [0], TypeError),
        ([b"a="], ["0"], [b"x"], [0], TypeError),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    columns: list[Any], places: list[Any], where: list[Any], keys: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        core().RowPlan("t", b"", b"", b"", columns, places, where, keys, False, False, False)


def test_a_place_outside_of_the_row_is_left_alone() -> None:
    layout = attrs.evolve(LAYOUTS[1], places=(0, 7))
    change = Change("t", apsw.SQLITE_INSERT, (), (1, 2), 1, 1)
    others: list[Any] = []
    taker = RowTaker(core(), others.append, lambda: None)
    taker.begin(layout, apsw.SQLITE_INSERT)
    taker.hook(change)  # type: ignore[arg-type]
    assert others == [change]
    assert taker.taken()[0] == b""


SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b REAL)",
    "CREATE TABLE k (a TEXT, b INT, c, d AS (c || 'x') STORED, PRIMARY KEY (b, a))",
    "CREATE TABLE w (a TEXT PRIMARY KEY, b) WITHOUT ROWID",
    "CREATE TABLE n (a, b)",
    "CREATE TABLE c (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
    "CREATE TABLE g (id INTEGER PRIMARY KEY, a, b AS (a + 1))",
    "CREATE TABLE fired (a)",
    "CREATE TRIGGER tr AFTER INSERT ON n WHEN NEW.a = 7 BEGIN INSERT INTO fired VALUES (NEW.b), (1); END",
)
MANY = "WITH RECURSIVE i(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM i WHERE v < 300) "
STATEMENTS = (
    MANY + "INSERT INTO t SELECT v, char(v), v / 3.0 FROM i",
    MANY + "INSERT INTO k (a, b, c) SELECT 'it''s ' || v, v % 5, x'00ff' FROM i",
    MANY + "INSERT INTO k (a, b, c) SELECT CASE v % 9 WHEN 0 THEN NULL ELSE 'n' || v END, v, NULL FROM i",
    MANY + "INSERT INTO w SELECT v, NULL FROM i",
    MANY + "INSERT INTO n SELECT v, -v FROM i",
    MANY + "INSERT INTO c (a) SELECT CAST(x'ff' AS TEXT) FROM i",
    MANY + "INSERT INTO g (id, a) SELECT v, v FROM i",
    "UPDATE t SET a = CASE id % 3 WHEN 0 THEN a ELSE id END, b = -b",
    "UPDATE t SET id = id + 1000 WHERE id > 100",
    "UPDATE k SET c = CASE WHEN b > 3 THEN c ELSE 1e300 * 1e300 END, a = a || '!' WHERE b < 200",
    "UPDATE w SET a = a || 'w', b = 0.1",
    "UPDATE n SET b = NULL WHERE a % 2",
    "UPDATE c SET a = id WHERE id > 20",
    "UPDATE g SET a = a + 1",
    "DELETE FROM t WHERE id % 2",
    "DELETE FROM k WHERE b % 3 = 1",
    "DELETE FROM n WHERE a < 250",
    "DELETE FROM w",
    "INSERT INTO n VALUES (7, 1)",
)


def log_of(folder: Path, groups: list[list[str]]) -> bytes:
    with opened(folder, *SCHEMA) as writer:
        for group in groups:
            writer.run([Request((sql,)) for sql in group])
        assert_same_on_copy(writer)
        return writer.paths.wal.read_bytes()


def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: list[list[str]]) -> None:
    """The log is the same, byte for byte, whatever writes it."""
    logs = []
    for name, used in (("compiled", CORE), ("plain", None)):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("spgrepl.primary.changes.row_taker.CORE", used)
        logs.append(log_of(tmp_path / name, groups))
    assert logs[0] == logs[1]


def test_the_same_log_of_statements_that_change_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both(tmp_path, monkeypatch, [[sql] for sql in STATEMENTS])


def test_the_same_log_of_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [
        [f"INSERT INTO t VALUES ({number}, 'x', 0.5)" for number in range(20)],
        [f"INSERT INTO k (a, b, c) VALUES ('x', {number}, 'y'), ('z', {number}, NULL)" for number in range(20)],
        [f"INSERT INTO {table} (a) VALUES ({number})" for number in range(20) for table in "nctw"],
        [f"UPDATE t SET a = {number} WHERE id = {number}" for number in range(30)],
        [f"UPDATE k SET a = a || {number} WHERE b > {number}" for number in range(20)],
        [f"INSERT INTO w VALUES ('{'long ' * 100}{number}', zeroblob(200))" for number in range(5)],
        # From here on somebody else has to write them down: deletes, triggers, and what fails.
        [f"REPLACE INTO t VALUES ({number}, 'new', 1)" for number in range(15, 25)],
        [f"INSERT INTO n VALUES ({number}, 'b')" for number in range(10)],
        [f"INSERT INTO t VALUES ({number}, 'x', 0.5)" for number in range(30, 15, -1)],
    ]
    both(tmp_path, monkeypatch, groups)


def test_a_group_of_another_kind_is_taken_again_later(tmp_path: Path) -> None:
    with opened(tmp_path, *SCHEMA) as writer:
        taker = writer._session().runner.recorder._taker
        assert taker is not None
        deletes = [Request((f"REPLACE INTO t VALUES ({number % 2}, 1, 1)",)) for number in range(4)]
        writer.run(deletes)
        assert taker._pause > 0
        plain = [Request((f"INSERT INTO n VALUES ({number}, 1)",)) for number in (1, 2)]
        for _ in range(taker._pause):
            writer.run(plain)
        assert taker._pause == 0
        writer.run(plain)
        assert_same_on_copy(writer)


def test_progress_counts_what_is_taken(tmp_path: Path) -> None:
    with opened(tmp_path, *SCHEMA, STATEMENTS[0]) as writer:
        seen: list[int] = []
        writer.control.watcher = seen.append
        writer.execute("UPDATE t SET a = 1 WHERE (" + MANY + "SELECT count(*) FROM i, i AS j) > id")
        assert max(seen) <= 300
        assert isinstance(writer, Writer)

"""Rows of a log, applied one for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from spgrepl.engines import row_applier
from spgrepl.engines.row_applier import RowApplier, RowConflict, RowCounts, bound_values, require_empty
from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.numbers import RowNumber, add_number
from spgrepl.rows.render import render
from spgrepl.rows.shapes import shape_of
from spgrepl.rows.values import RawText
from spgrepl.sqlite.own_names import ForbiddenStatement

INSERT, UPDATE, DELETE, CLEAR = ChangeKind


def insert(*row: object, table: str = "t") -> bytes:
    return render(RowChange(INSERT, table, ("a", "b"), row))  # type: ignore[arg-type]


def update(key: int, value: str) -> bytes:
    return render(RowChange(UPDATE, "t", ("b",), (value,), ("a",), (key,)))


def delete(key: int) -> bytes:
    return render(RowChange(DELETE, "t", key=("a",), key_values=(key,)))


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        made.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b UNIQUE, CHECK (b <> 'bad')); BEGIN")
        made.execute("INSERT INTO t VALUES (1, 'one')")
        yield made


def rows(connection: apsw.Connection) -> list[object]:
    return list(connection.execute("SELECT a, b FROM t ORDER BY a"))


def test_each_kind_is_applied_and_counted(connection: apsw.Connection) -> None:
    applier = RowApplier(connection)
    for statement in (insert(2, "two"), update(2, "zwei"), insert(3, RawText(b"\xff")), delete(1)):
        assert applier.apply(statement)
    assert connection.execute("SELECT b FROM t WHERE a = 2").get == "zwei"
    assert connection.execute("SELECT count(*) FROM t").get == 2
    assert connection.execute("SELECT CAST(b AS BLOB) FROM t WHERE a = 3").get == b"\xff"
    assert applier.counted().as_values() == {"t": {"insert": 2, "update": 1, "delete": 1}}
    assert applier.counted().as_values() == {}


@pytest.mark.parametrize("sql", [b"SELECT 1", b"INSERT INTO t VALUES (2, 'x')", b"\xff"])
def test_what_is_no_row_is_left_to_others(connection: apsw.Connection, sql: bytes) -> None:
    assert not RowApplier(connection).apply(sql)
    assert RowApplier(connection).apply_run([sql, sql], 0) == 0


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (insert(1, "x"), "insert_exists"),
        (insert(2, "one"), "insert_exists"),
        (update(7, "x"), "update_missing"),
        (delete(7), "delete_missing"),
    ],
)
def test_a_row_that_does_not_find_what_it_must(connection: apsw.Connection, statement: bytes, kind: str) -> None:
    with pytest.raises(RowConflict, match="table t, row") as conflict:
        RowApplier(connection).apply(statement)
    assert conflict.value.kind == kind
    assert rows(connection) == [(1, "one")]


def test_an_update_into_another_row_s_way(connection: apsw.Connection) -> None:
    applier = RowApplier(connection)
    applier.apply(insert(2, "two"))
    with pytest.raises(RowConflict) as conflict:
        applier.apply(update(2, "one"))
    assert conflict.value.kind == "update_exists"


def test_another_constraint_is_no_conflict_of_rows(connection: apsw.Connection) -> None:
    with pytest.raises(apsw.ConstraintError):
        RowApplier(connection).apply(insert(2, "bad"))


def test_own_tables_are_not_touched(connection: apsw.Connection) -> None:
    applier = RowApplier(connection)
    statement = insert(1, "x", table="spgrepl_replay")
    with pytest.raises(ForbiddenStatement):
        applier.apply(statement)
    with pytest.raises(ForbiddenStatement):
        applier.apply_run([statement, statement], 0)


def test_inserts_that_follow_each_other_are_one(connection: apsw.Connection) -> None:
    applier = RowApplier(connection)
    statements = [delete(1), insert(2, "two"), insert(3, None), insert(4, "it's"), update(2, "x")]
    assert applier.apply_run(statements, 0) == 0
    assert applier.apply_run(statements, 1) == 3
    assert applier.counted().as_values() == {"t": {"insert": 3}}


@pytest.mark.parametrize("last", [insert(1, "x"), insert(9, "bad")])
def test_a_run_with_a_fault_changes_nothing(connection: apsw.Connection, last: bytes) -> None:
    applier = RowApplier(connection)
    assert applier.apply_run([insert(2, "two"), insert(3, "three"), last], 0) == 0
    assert rows(connection) == [(1, "one")]
    assert applier.counted().as_values() == {}


def test_a_run_is_bounded(connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_applier, "_LONGEST_RUN", 2)
    assert RowApplier(connection).apply_run([insert(number, None) for number in range(2, 9)], 0) == 2


@pytest.mark.parametrize(("same", "number"), [(True, 77), (False, 1)])
def test_row_numbers_are_the_primary_s_on_a_whole_copy(same: bool, number: int) -> None:
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a PRIMARY KEY, b)")
        statement = add_number(insert("x", 1), RowNumber("rowid", 77))
        assert RowApplier(connection, same_numbers=same).apply(statement)
        assert connection.execute("SELECT rowid FROM t").get == number


def test_a_table_that_is_emptied_by_one_record_must_be_empty_of_others(connection: apsw.Connection) -> None:
    clear = shape_of(RowChange(CLEAR, "t"))
    with pytest.raises(RowConflict, match="1 row is here") as conflict:
        require_empty(connection, clear)
    assert conflict.value.kind == "table_cleared"
    connection.execute("DELETE FROM t")
    require_empty(connection, clear)


def test_counts_are_put_together() -> None:
    counts, more = RowCounts(), RowCounts()
    shape = shape_of(RowChange(INSERT, "t", ("a",), (1,)))
    counts.add(shape, 2)
    more.add(shape, 3)
    more.add(shape_of(RowChange(CLEAR, "u")), 4)
    counts.merge(more)
    assert counts.as_values() == {"t": {"insert": 5}, "u": {"delete": 4}}


def test_text_that_is_not_utf8_is_bound_as_bytes() -> None:
    assert bound_values((1, "a")) == (1, "a")
    assert bound_values((1, RawText(b"\xff"))) == [1, b"\xff"]

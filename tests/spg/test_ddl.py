"""Tables as SQLite declares them: SQLite takes what is written, and says of it what the catalog said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import SnapshotError
from spgrepl.spg.blocks.schema import (
    Action,
    Check,
    Column,
    ForeignKey,
    Index,
    IndexKind,
    Table,
    Uniqueness,
)
from spgrepl.spg.ddl import ON_CONFLICT, DdlWriter, check_names, literal, quoted
from spgrepl.spg.values.types import SpgType

NAMES = st.text("aAbBäÄ\"' ", min_size=1, max_size=3)
KINDS = st.sampled_from([SpgType(1), SpgType(3), SpgType(4), SpgType(5), SpgType(18), SpgType(10, (5, 1))])
VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.text("a\0'", max_size=4),
    st.binary(max_size=5),
)


def table(name: str, columns: Sequence[Column | str], **more: Any) -> Table:
    every = tuple(Column(one, SpgType(1), True) if isinstance(one, str) else one for one in columns)
    return Table(name, every, 0, 0, 0, **more)


def made(*tables: Table) -> apsw.Connection:
    """A database with these tables and their indexes."""
    connection = apsw.Connection(":memory:")
    writer = DdlWriter(tables)
    for one in tables:
        ddl = writer.table(one)
        for statement in (ddl.create, *ddl.indexes):
            connection.execute(statement)
    return connection


@settings(max_examples=60)
@given(VALUES)
def test_a_literal_is_its_value(value: object) -> None:
    found = apsw.Connection(":memory:").execute(f"SELECT {literal(value)}").fetchone()
    assert found == (value,)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(Column, NAMES, KINDS, st.booleans(), VALUES, st.booleans()),
        min_size=1,
        max_size=4,
        unique_by=lambda one: one.name.encode().lower(),
    )
)
def test_columns_are_what_they_were(columns: list[Column]) -> None:
    connection = made(table('a "table"', columns))
    rows = connection.execute('SELECT name, type, "notnull", dflt_value FROM pragma_table_info(\'a "table"\')')
    for column, (name, declared, not_null, default) in zip(columns, rows.fetchall(), strict=True):
        assert (name, declared, not_null) == (column.name, column.type.declared, not column.nullable)
        assert (default is not None) == column.has_default
        if column.has_default:
            assert connection.execute(f"SELECT {default}").fetchone() == (column.default,)


@settings(max_examples=60)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=3), st.lists(NAMES, max_size=3))
def test_names_are_refused_where_sqlite_refuses_them(columns: list[list[str]], names: list[str]) -> None:
    names = [*names, "x", "y", "z"][: len(columns)]
    tables = [table(name, one) for name, one in zip(names, columns, strict=True)]
    connection = apsw.Connection(":memory:")
    try:
        for one in tables:
            listed = ", ".join(quoted(column.name) for column in one.columns)
            connection.execute(f"CREATE TABLE {quoted(one.name)} ({listed})")
    except apsw.SQLError:
        with pytest.raises(SnapshotError):
            check_names(tables)
    else:
        check_names(tables)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ([table("t", [])], "has 0 columns"),
        ([table("t", [f"c{number}" for number in range(2001)])], "has 2,?001 columns"),
        ([table("SQLITE_x", ["a"])], "kept for SQLite"),
        ([table("spgrepl_x", ["a"])], "kept for spgrepl"),
        ([table("a\0b", ["a"])], "zero byte"),
    ],
)
def test_what_sqlite_cannot_hold(tables: list[Table], said: str) -> None:
    with pytest.raises(SnapshotError, match=said):
        made(*tables)


@pytest.mark.parametrize("action", Action)
def test_a_foreign_key_is_made_where_its_parent_is_unique(action: Action) -> None:
    key = ForeignKey("k", (1, 0), "p", (0, 1), action, Action.NO_ACTION)
    child = table("c", ["a", "b"], foreign_keys=(key,))
    parent = table("p", ["x", "y"], uniqueness=(Uniqueness(False, (1, 0)),))
    rows = made(parent, child).execute("PRAGMA foreign_key_list(c)").fetchall()
    assert [(one[2], one[3], one[4], one[6]) for one in rows] == [
        ("p", "b", "x", action.value),
        ("p", "a", "y", action.value),
    ]
    writer = DdlWriter([child, plain := table("p", ["x", "y"])])
    ddl = writer.table(child)
    assert "a foreign key to p is left out" in ddl.notes[0]
    changes = action not in (Action.RESTRICT, Action.NO_ACTION)
    assert [(one.table, one.events) for one in ddl.missed] == ([("p", ("DELETE",))] if changes else [])
    assert writer.table(plain).missed == ()


def test_indexes_as_far_as_sqlite_has_them() -> None:
    indexes = (
        Index("both", 1, IndexKind.COMPOSITE, unique=True, further=(0,)),
        Index("of_key", 0, IndexKind.BTREE),
        Index("T", 1, IndexKind.BTREE),
        Index("part", 1, IndexKind.BTREE, unique=True, predicate="b > 1"),
        Index("BOTH", 1, IndexKind.BTREE),
        Index("words", 1, IndexKind.FULLTEXT),
    )
    one = table("t", ["a", "b"], indexes=indexes, uniqueness=(Uniqueness(True, (0,)),))
    ddl = DdlWriter([one]).table(one)
    assert ddl.indexes == ('CREATE UNIQUE INDEX "both" ON "t" ("b", "a")',)
    assert [note.split(" is left out")[0] for note in ddl.notes] == [
        "the btree index T",
        "the btree index part",
        "the btree index BOTH",
        "the fulltext index words",
    ]
    assert [(missed.events, missed.what.split(" at ")[0]) for missed in ddl.missed] == [
        ((ON_CONFLICT,), "t has the unique index part")
    ]


def test_what_is_left_out_is_told() -> None:
    columns = [
        Column("a", SpgType(4), True, extras={"collation": "case-insensitive", "generated": "lower(b)"}),
        Column("b", SpgType(3), True, float("inf"), True),
    ]
    keys = (Uniqueness(True, (0,)), Uniqueness(True, (1,)), Uniqueness(False, (0, 1), nulls_not_distinct=True))
    one = table("t", columns, uniqueness=keys, checks=(Check("a > 1"),), extras={"exclusions": [1]})
    ddl = DdlWriter([one]).table(one)
    assert ddl.create.count("PRIMARY KEY") == 1
    assert ddl.create.count("COLLATE NOCASE") == 1
    assert "DEFAULT" not in ddl.create
    for words in (
        "ignores case",
        "generated of a",
        "default inf of b",
        "NULLs are distinct",
        "a > 1",
        "exclusion",
    ):
        assert any(words in note for note in ddl.notes), words
    assert len(ddl.missed) == 2

"""Tables as SQLite declares them: what is asked of a table is what it was made of."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import BYTEA, INT, TEXT
from spgrepl.spgsql.tables import column_ddl, make
from spgrepl.spgsql.typed.defaults import CONSTANT
from spgrepl.spgsql.typed.schema import ColumnInfo, Schema
from tests.spgsql.copy import Copy

KINDS = st.sampled_from([INT, TEXT, BYTEA, SpgType(10, (5, 1)), SpgType(5)])
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5), st.binary(max_size=4))


def column(name: str, kind: SpgType | None = TEXT, nullable: bool = True, **details: object) -> ColumnInfo:
    return ColumnInfo(name, kind, nullable, False, details, None)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(NAMES, KINDS, st.booleans()), min_size=1, max_size=4, unique_by=lambda one: one[0].lower())
)
def test_a_table_is_what_it_was_made_of(parts: list[tuple[str, SpgType, bool]]) -> None:
    schema = Schema(Copy().connection)
    columns = [column(*one) for one in parts]
    make(schema, 'the "table"', columns, [])
    found = schema.table('the "table"').columns
    assert [(one.name, one.type, one.nullable) for one in found] == parts


@settings(max_examples=40)
@given(VALUES)
def test_a_default_is_stored_as_it_is(value: object) -> None:
    connection = Copy().connection
    kept = {"hex": value.hex()} if isinstance(value, bytes) else value
    connection.execute(f"CREATE TABLE t (id INTEGER, {column_ddl(column('x', BYTEA, **{CONSTANT: kept}))})")
    connection.execute("INSERT INTO t (id) VALUES (1)")
    assert connection.execute("SELECT x FROM t").fetchall() == [(value,)]


@pytest.mark.parametrize("name", ["sqlite_x", "spgrepl_x", "SPGREPL_x"])
def test_names_that_are_kept_for_others(copy: Copy, name: str) -> None:
    with pytest.raises(StatementStopped, match=name):
        make(Schema(copy.connection), name, [column("id")], [])


def test_what_sqlite_cannot_hold_makes_nothing(copy: Copy) -> None:
    schema = Schema(copy.connection)
    for name, columns in (("a\0b", [column("id")]), ("t", [column("a\0b")]), ("t", [column("x", None)])):
        with pytest.raises(StatementStopped):
            make(schema, name, columns, [])
        assert not schema.exists("t")
    make(schema, "t", [column("id", INT, False)], ["PRIMARY KEY (id)"])
    assert schema.table("t").keys == (("id",),)

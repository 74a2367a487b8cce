"""What a copy knows of its tables, and that it stays true when these get other names or go."""

from __future__ import annotations

from collections.abc import Callable

import apsw
import pytest

from spgrepl.spg.to_sqlite import LEFT_OUT
from spgrepl.spgsql.language.stops import StatementStopped, TypeUnknown
from spgrepl.spgsql.language.types import BIGINT, INT, TEXT
from spgrepl.spgsql.typed.schema import ColumnInfo, LabelType, Schema

ALL = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "SELECT")
HAZARDS: dict[str, tuple[str, str, dict[str, object], set[str]]] = {
    "trigger": ("triggers", "tr", {"name": "tr", "table": "t", "events": ["insert", "update of x"]}, {*ALL[:2]}),
    "rule": ("rules", "r", {"name": "r", "table": "t", "event": "delete"}, {"DELETE"}),
    "parent": ("table partition", "t", {"role": "parent"}, {*ALL[:4]}),
    "heirs": ("table partition", "child", {"role": "child", "parents": ["other", "t"]}, {*ALL[:4]}),
    "parts": ("table partition", "child", {"role": "default", "parent": "t"}, {*ALL[:4]}),
    "security": ("table row_security", "t", {"enabled": True}, {"UPDATE", "DELETE", "SELECT"}),
    "left out": (LEFT_OUT, "t", {"events": ["UPDATE"], "what": "a key that NULLs share"}, {"UPDATE"}),
}


@pytest.fixture
def schema() -> Schema:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE T (ID INTEGER, x \"VARCHAR(5)\" NOT NULL DEFAULT 'a', y ODD, UNIQUE (x, y))")
    connection.execute("CREATE UNIQUE INDEX partial ON t (y) WHERE y > 5")
    return Schema(connection)


def test_a_table_that_somebody_declared(schema: Schema) -> None:
    found = schema.table("t")
    assert schema.table("T") is found
    assert [(one.name, one.type, one.nullable, one.declared_default) for one in found.columns] == [
        ("ID", BIGINT, True, None),
        ("x", found.column("X").type, False, "'a'"),
        ("y", None, True, None),
    ]
    assert found.column("X").known.label == "VARCHAR(5)"
    assert (found.keys, found.has_primary) == ((("x", "y"),), False)
    assert (found.has("iD"), found.has("z")) == (True, False)
    with pytest.raises(TypeUnknown, match="y"):
        _ = found.column("y").known
    with pytest.raises(StatementStopped, match="the table T has no column z"):
        found.column("z")


@pytest.mark.parametrize("name", ["nowhere", "sqlite_master", "spgrepl_spg_columns"])
def test_a_table_that_is_not_there_or_not_the_masters(schema: Schema, name: str) -> None:
    schema.ensure()
    with pytest.raises(StatementStopped):
        schema.table(name)


def test_what_is_kept_of_columns_is_what_is_read(schema: Schema) -> None:
    columns = (
        ColumnInfo("ID", INT, False, True, {"identity_always": True}, None),
        ColumnInfo("x", LabelType(4, (), ("a", "b")), True, False, {"enum_labels": ["a", "b"]}, "'a'"),
        ColumnInfo("y", TEXT, True, False, {"runtime_default": "now()"}, None),
    )
    schema.keep_columns("t", columns)
    assert schema.table("t").columns == columns
    schema.rename_table("t", "u")
    schema.connection.execute("ALTER TABLE t RENAME TO u")
    assert schema.table("U").columns == columns
    schema.drop_table("u")
    assert schema.table("u").columns[0].type == BIGINT


def hazards(schema: Schema, name: str) -> list[set[str]]:
    return [{*one.events} for one in schema.table(name).hazards]


@pytest.mark.parametrize("which", HAZARDS)
def test_what_happens_at_the_master_goes_with_the_name(schema: Schema, which: str) -> None:
    kind, name, definition, events = HAZARDS[which]
    definition = {**definition, **({"table": "T"} if "table" in definition else {})}
    if "parents" in definition:
        definition["parents"] = ["other", "T"]
    elif "parent" in definition:
        definition["parent"] = "T"
    schema.keep_object(kind, name, definition)
    schema.keep_object("triggers", "of another", {"table": "other", "events": ["delete"]})
    assert hazards(schema, "t") == [events]
    schema.connection.execute("ALTER TABLE t RENAME TO u")
    schema.rename_table("T", "u")
    assert hazards(schema, "u") == [events]
    assert schema.has_heirs("u") == (which in ("heirs", "parts"))
    schema.drop_table("u")
    assert hazards(schema, "u") == ([events] if which in ("heirs", "parts") else [])
    assert len(schema.objects("triggers")) == 1


def test_a_trigger_that_is_off_does_nothing(schema: Schema) -> None:
    schema.keep_object("triggers", "tr", {"table": "T", "events": ["insert"], "enabled": False})
    schema.keep_object("table row_security", "T", {"enabled": False})
    assert hazards(schema, "t") == []


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema.keep_object("enums", "E", ["c"]),
        lambda schema: schema.drop_object("enums", "E"),
        lambda schema: schema.forget(),
    ],
)
def test_objects_by_kind_and_name(schema: Schema, change: Callable[[Schema], None]) -> None:
    before = schema.table("t")
    schema.keep_object("enums", "e", {"labels": ["a"]})
    schema.keep_object("enums", "e", {"labels": ["a", "b"]})
    schema.keep_object("source", "file", {"file_version": 76})
    assert schema.objects("enums", "E") == [{"labels": ["a", "b"]}]
    assert schema.file_version == 76
    change(schema)
    assert schema.table("t") is not before
    assert schema.objects("domains") == []

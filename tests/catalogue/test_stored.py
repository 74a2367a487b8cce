"""The publications that a database holds, read back as they were noted."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from spgrepl.catalogue.catalogue_tables import note_control
from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import CreatePublication, Scope
from spgrepl.catalogue.stored import read_publications
from spgrepl.errors import LocalFilesDamaged


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        yield made


def test_a_database_without_a_catalogue_has_none(connection: sqlite3.Connection) -> None:
    assert read_publications(connection) == Publications()
    connection.execute("CREATE VIEW spgrepl_publications AS SELECT 1")
    assert read_publications(connection) == Publications()


def test_they_are_read_as_they_were_noted(connection: sqlite3.Connection) -> None:
    for statement in (
        "CREATE PUBLICATION every",
        'CREATE PUBLICATION "Some" FOR TABLE a, public.B, "C d"',
        "CREATE PUBLICATION but FOR ALL TABLES EXCEPT a",
        "CREATE PUBLICATION dropped",
        "DROP PUBLICATION dropped",
    ):
        note_control(connection, statement.encode())
    connection.execute("BEGIN")
    assert read_publications(connection).by_name == {
        "every": CreatePublication("every", Scope.ALL),
        "Some": CreatePublication("Some", Scope.ONLY, ("a", "b", "C d")),
        "but": CreatePublication("but", Scope.EXCEPT, ("a",)),
    }


@pytest.mark.parametrize(
    ("scope", "tables"), [("none", "[]"), ("all", "{"), ("only", "{}"), ("only", "[1]"), ("only", "1")]
)
def test_a_row_that_was_tampered_with_is_named(connection: sqlite3.Connection, scope: str, tables: str) -> None:
    note_control(connection, b"CREATE PUBLICATION p")
    connection.execute("UPDATE spgrepl_publications SET scope = ?, tables = ?", (scope, tables))
    with pytest.raises(LocalFilesDamaged, match="publication 'p'"):
        read_publications(connection)

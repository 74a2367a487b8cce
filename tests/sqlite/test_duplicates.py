"""Objects that a CREATE finds already: told by the schema, not by what SQLite says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from spgrepl.sqlite.duplicates import find_duplicate
from tests import sql as sqlite3


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
        made.execute('CREATE TABLE "a table" (a)')
        made.execute("CREATE TABLE t (a)")
        made.execute("CREATE INDEX i ON t (a)")
        made.execute("CREATE VIEW v AS SELECT a FROM t")
        made.execute("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END")
        yield made


@pytest.mark.parametrize(
    ("statement", "kind", "name"),
    [
        ("CREATE TABLE t (b)", "table", "t"),
        ("/* again */ create table T (b)", "table", "T"),
        ("CREATE TABLE IF NOT EXISTS t (id SERIAL)", "table", "t"),
        ("CREATE TABLE public.t (b)", "table", "t"),
        ("CREATE TABLE main.[a table] (b)", "table", "a table"),
        ('CREATE TABLE IF NOT EXISTS public."a table" (b)', "table", "a table"),
        ("CREATE UNIQUE INDEX i ON t (a)", "index", "i"),
        ("CREATE TEMP VIEW v AS SELECT 1", "view", "v"),
        ("CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 2; END", "trigger", "g"),
        ("CREATE TABLE t AS SELECT 1", "table", "t"),
    ],
)
def test_what_is_there_already_is_named(
    connection: sqlite3.Connection, statement: str, kind: str, name: str
) -> None:
    found = find_duplicate(connection, statement)
    assert found is not None
    assert (found.kind, found.name) == (kind, name)
    assert str(found) == f"the {kind} {name} is there already"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE u (a)",
        "CREATE TABLE v (a)",
        "CREATE INDEX t ON t (a)",
        "INSERT INTO t VALUES (1)",
        "DROP TABLE t",
        "CREATE",
        "CREATE TABLE",
        "CREATE TABLE IF NOT EXISTS",
        "CREATE TABLE main.",
        "CREATE TABLE (a)",
        "CREATE PUBLICATION t",
        "",
    ],
)
def test_all_else_is_no_duplicate(connection: sqlite3.Connection, statement: str) -> None:
    assert find_duplicate(connection, statement) is None

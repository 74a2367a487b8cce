"""A SQLite database as ``spgrepl snapshot show`` describes it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import pytest

from spgrepl.cli.parts.sqlite_snapshot import describe_sqlite, open_readonly, quoted, table_names
from spgrepl.errors import SnapshotError
from tests.primary.copying import opened


def test_what_it_holds_is_described_without_our_own_tables(tmp_path: Path) -> None:
    schema = (
        'CREATE TABLE "a""b" (k INTEGER PRIMARY KEY, v TEXT NOT NULL DEFAULT \'x\', g AS (k + 1))',
        "CREATE TABLE t (a)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE PUBLICATION p FOR TABLE t",
        "INSERT INTO t VALUES (1), (2)",
    )
    with opened(tmp_path, *schema) as writer:
        found = describe_sqlite(writer.paths.database)
        assert found["versions"]["position"] == writer.position
    assert found["sound"]
    assert [(table["name"], table["rows"]) for table in found["tables"]] == [('a"b', 0), ("t", 2)]
    assert [column["flags"] for column in found["tables"][0]["columns"]] == [
        ["PRIMARY KEY"],
        ["NOT NULL", "DEFAULT 'x'"],
        [],
    ]
    assert [view["name"] for view in found["views"]] == ["v"]
    assert found["publications"] == [{"name": "p", "scope": "only", "tables": ["t"]}]


def test_a_damaged_one_is_not_read_further(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("CREATE TABLE t (a); CREATE INDEX i ON t (a)")
        connection.execute(
            "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 900) INSERT INTO t SELECT i FROM n"
        )
    with open(path, "r+b") as file:
        file.seek(3 * 4096 + 100)
        file.write(b"\xff" * 500)
    found = describe_sqlite(path)
    assert (found["sound"], found["tables"]) == (False, [])
    assert found["checks"] != []


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"x" * 4096)
    with pytest.raises(SnapshotError, match=r"a\.db cannot be read as a SQLite database"):
        describe_sqlite(path)
    with pytest.raises(SnapshotError):
        describe_sqlite(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_names_are_quoted_and_files_only_read(tmp_path: Path) -> None:
    assert quoted('a"b') == '"a""b"'
    with contextlib.closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        connection.execute(f"CREATE TABLE {quoted('SPGREPL_x')} (a); CREATE TABLE z (a)")
    with contextlib.closing(open_readonly(tmp_path / "a.db")) as connection:
        assert table_names(connection) == ["z"]
        with pytest.raises(apsw.ReadOnlyError):
            connection.execute("DROP TABLE z")

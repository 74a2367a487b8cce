"""The keys of tables: those that SQLite has now, and none where that is not known."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from spgrepl.errors import EngineFailed
from spgrepl.feed.keys import TableKeys


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "x.db"
    connection = apsw.Connection(str(path))
    connection.execute(
        "CREATE TABLE plain (a, b); CREATE TABLE pair (x, y, z, PRIMARY KEY (z, x)) WITHOUT ROWID; "
        'CREATE TABLE "it\'s" (ID INTEGER PRIMARY KEY, a); CREATE TABLE taken (ROWID, _rowid_, a); '
        "CREATE TABLE all_taken (rowid, _rowid_, oid); CREATE TABLE made (a, k AS (a + 1), PRIMARY KEY (a))"
    )
    connection.close()
    return path


@pytest.mark.parametrize(
    ("table", "columns", "key"),
    [
        ("pair", ("x", "y", "z"), ("z", "x")),
        ("pair", ("x", "y"), ()),
        ("it's", ("ID", "a"), ("ID",)),
        ("plain", ("rowid", "a", "b"), ("rowid",)),
        ("plain", ("a", "b"), ()),
        ("taken", ("ROWID", "_rowid_", "a", "oid"), ("oid",)),
        ("all_taken", ("rowid", "_rowid_", "oid"), ()),
        ("made", ("a",), ("a",)),
        ("nowhere", ("oid", "a"), ("oid",)),
        ("nowhere", ("a",), ()),
    ],
)
def test_the_key_of_a_row(database: Path, table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> None:
    keys = TableKeys(database)
    keys.refresh()
    for _ in range(2):
        assert keys.of_insert(table, columns) == key
    keys.close()


def test_a_key_is_read_again_when_the_schema_has_changed(database: Path) -> None:
    keys = TableKeys(database)
    keys.refresh()
    assert keys.of_insert("plain", ("a", "b")) == ()
    other = apsw.Connection(str(database))
    other.execute("DROP TABLE plain; CREATE TABLE plain (a, b PRIMARY KEY)")
    keys.refresh()
    assert keys.of_insert("plain", ("a", "b")) == ("b",)
    keys.close()
    keys.close()
    keys.refresh()
    assert keys.of_insert("plain", ("a", "b")) == ("b",)
    keys.close()


def test_what_is_not_there_or_not_a_database_has_no_keys(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"an archive" * 100)
    for path in (None, tmp_path / "nowhere", tmp_path / "other"):
        keys = TableKeys(path)
        keys.refresh()
        assert keys.of_insert("t", ("a",)) == ()
        keys.close()
    assert not (tmp_path / "nowhere").exists()


def test_a_database_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(EngineFailed, match=r"the keys of the tables in .*folder cannot be read"):
        TableKeys(tmp_path / "folder").refresh()

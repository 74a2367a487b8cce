"""Reading beside the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.errors import EngineFailed, StatementFailed
from spgrepl.primary.reading.reader import DatabaseReader
from tests.primary.copying import Writer, opened

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, a)"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Writer, DatabaseReader]]:
    """A writer with one row, and a reader beside it."""
    with (
        opened(tmp_path, TABLE, "INSERT INTO t VALUES (1, 'a')") as writer,
        closing(DatabaseReader(writer.paths.database)) as reader,
    ):
        yield writer, reader


def test_rows_and_parameters(both: tuple[Writer, DatabaseReader]) -> None:
    """By place and by name."""
    _, reader = both
    result = reader.query("SELECT id, a AS letter FROM t WHERE id = ?", (1,))
    assert (result.columns, result.rows) == (("id", "letter"), [(1, "a")])
    assert reader.query("SELECT :x", {"x": b"\0"}).rows == [(b"\0",)]


def test_the_writers_functions_do_not_reach_readers(both: tuple[Writer, DatabaseReader]) -> None:
    """A query may ask for the time, and for random numbers."""
    _, reader = both
    assert reader.query("SELECT datetime('now') > '2020', random() <> 0").rows == [(1, 1)]


def test_a_reader_sees_each_commit(both: tuple[Writer, DatabaseReader]) -> None:
    """It holds on to no old state."""
    writer, reader = both
    writer.execute("INSERT INTO t VALUES (2, 'b')")
    assert reader.query("SELECT count(*) FROM t").rows == [(2,)]


@pytest.mark.parametrize(
    "sql", ["PRAGMA table_info(t)", "PRAGMA user_version", "EXPLAIN DELETE FROM t", "VALUES (1)"]
)
def test_what_reads_otherwise(both: tuple[Writer, DatabaseReader], sql: str) -> None:
    """Settings, definitions and plans."""
    _, reader = both
    assert reader.query(sql).rows


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM t",
        "CREATE TABLE u (a)",
        "CREATE TEMP TABLE u (a)",
        "PRAGMA query_only = OFF",
        "PRAGMA user_version = 5",
        "ATTACH ':memory:' AS other",
        "BEGIN",
        "SAVEPOINT s",
    ],
)
def test_what_does_not_read_is_refused(both: tuple[Writer, DatabaseReader], sql: str) -> None:
    """The message says what to use; the reader stays usable."""
    _, reader = both
    with pytest.raises(StatementFailed, match=r"only reads .* write with execute\(\)"):
        reader.query(sql)
    assert reader.query("SELECT id FROM t").rows == [(1,)]


@pytest.mark.parametrize(
    "sql", ["SELECT", "SELECT 1; SELECT 2", "SELECT a FROM nowhere", "SELECT ?", "SELECT '\0'"]
)
def test_what_sqlite_refuses(both: tuple[Writer, DatabaseReader], sql: str) -> None:
    """Its own words, with the statement."""
    _, reader = both
    with pytest.raises(StatementFailed) as caught:
        reader.query(sql)
    assert caught.value.sql == sql


def test_the_catalogue_is_shown(both: tuple[Writer, DatabaseReader]) -> None:
    """And the reader goes on to refuse what it refused before."""
    writer, reader = both
    assert reader.query("SHOW PUBLICATIONS").rows == []
    writer.execute("CREATE PUBLICATION p FOR TABLE t")
    assert reader.query(" show publications;").rows == [("p", "FOR TABLE t", 1)]
    with pytest.raises(StatementFailed, match="only reads"):
        reader.query("BEGIN")


@pytest.mark.parametrize(
    ("sql", "parameters", "message"),
    [
        ("CREATE PUBLICATION q", (), r"only reads: change publications .* with execute\(\)"),
        ("SHOW PUBLICATIONS", (1,), "takes no parameters"),
        ("SHOW PUBLICATIONS q", (), "expected the end of the statement, found 'q'"),
        ("SHOW effective_wal_level", (), "asked of a server"),
    ],
)
def test_what_is_no_look_at_the_catalogue(
    both: tuple[Writer, DatabaseReader], sql: str, parameters: tuple[int, ...], message: str
) -> None:
    """The message says what to use."""
    _, reader = both
    with pytest.raises(StatementFailed, match=message):
        reader.query(sql, parameters)


def test_several_tables_are_read_at_one_moment(both: tuple[Writer, DatabaseReader]) -> None:
    """What is committed meanwhile is not seen; a failure leaves no transaction behind."""
    writer, reader = both

    def read(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
        found = connection.execute("SELECT count(*) FROM t").fetchall()
        writer.execute("INSERT INTO t VALUES (2, 'b')")
        return found + connection.execute("SELECT count(*) FROM t").fetchall()

    assert reader.read(read) == [(1,), (1,)]
    with pytest.raises(EngineFailed, match="no such table: nowhere"):
        reader.read(lambda connection: connection.execute("SELECT * FROM nowhere"))
    assert reader.query("SELECT count(*) FROM t").rows == [(2,)]


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """It is not made."""
    with pytest.raises(EngineFailed, match="missing\\.db cannot be read"):
        DatabaseReader(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()

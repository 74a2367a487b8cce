"""Full-text indexes whose text is in another table, which they find by row numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.engines.targets.subscribed_rows import SubscribedRows
from spgrepl.errors import StatementFailed
from spgrepl.primary.changes.full_text import numbered_tables
from tests.primary.copying import Writer, follower_of, opened

KEYED = "CREATE TABLE k (id TEXT PRIMARY KEY, body)"
INDEX = "CREATE VIRTUAL TABLE f USING fts5(body, content='k')"
NUMBERED = "SELECT rowid, id, body FROM k ORDER BY rowid"
FOUND = "SELECT rowid, body FROM f WHERE f MATCH 'one' ORDER BY rowid"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with opened(tmp_path, KEYED) as made:
        yield made


def assert_same(writer: Writer, *queries: str) -> None:
    with closing(follower_of(writer.paths.wal)) as copy:
        for query in queries:
            assert list(copy.execute(query)) == writer.rows(query)


def test_rows_get_the_same_numbers_on_a_copy(writer: Writer) -> None:
    writer.execute(INDEX)
    writer.execute("INSERT INTO k (rowid, id, body) VALUES (70, 'a', 'one'), (7, 'b', 'two'), (8, 'c', 'one two')")
    writer.execute("DELETE FROM k WHERE id = 'a'")
    writer.execute("INSERT INTO k VALUES ('x', 'one')")
    writer.execute("UPDATE k SET rowid = 500 WHERE id = 'b'")
    writer.execute("UPDATE k SET rowid = 501, body = 'one again' WHERE id = 'b'")
    writer.execute("INSERT OR REPLACE INTO k VALUES ('c', 'one at the end')")
    writer.execute("INSERT INTO f (f) VALUES ('rebuild')")
    assert_same(writer, NUMBERED, FOUND)
    assert "INSERT INTO k(id,body)VALUES('a','one') /* rowid 70 */" in writer.logged()
    assert "UPDATE k SET id='b' WHERE id='b' /* rowid 500 */" in writer.logged()


def test_rows_that_were_there_before_the_index_are_numbered_with_it(writer: Writer) -> None:
    writer.execute("INSERT INTO k (rowid, id, body) VALUES (70, 'a', 'one'), (7, NULL, 'one two'), (8, NULL, 'x')")
    writer.execute("DELETE FROM k WHERE id = 'a'")
    writer.execute("INSERT INTO k VALUES ('a', 'one')")
    writer.execute(INDEX)
    logged = len(writer.logged())
    writer.execute('CREATE VIRTUAL TABLE g USING fts4(body, content="K")')
    assert len(writer.logged()) == logged + 1
    writer.execute("INSERT INTO f (f) VALUES ('rebuild')")
    assert_same(writer, NUMBERED, FOUND)


def test_a_table_that_takes_the_name_is_numbered(writer: Writer) -> None:
    writer.execute("CREATE VIRTUAL TABLE f USING fts5(body, content='later')")
    writer.execute("INSERT INTO k (rowid, id, body) VALUES (70, 'a', 'one'), (7, 'b', 'one two')")
    writer.execute("ALTER TABLE k RENAME TO later")
    writer.execute("INSERT INTO f (f) VALUES ('rebuild')")
    assert_same(writer, NUMBERED.replace(" k ", " later "), FOUND)


def test_what_is_in_the_log_and_not_in_the_database_gets_its_numbers_when_it_is_recovered(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, KEYED, INDEX) as writer:
        before = tmp_path / "before.db"
        writer.rows(f"VACUUM INTO '{before}'")
        writer.execute("INSERT INTO k (rowid, id, body) VALUES (70, 'a', 'one')")
        writer.execute("UPDATE k SET rowid = 71 WHERE id = 'a'")
        paths = writer.paths
    before.replace(paths.database)
    with opened(tmp_path) as again:
        assert again.rows(NUMBERED) == [(71, "a", "one")]


def test_a_subscriber_has_numbers_of_its_own() -> None:
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(f"{KEYED}; INSERT INTO k VALUES ('mine', 1)")
        rows = SubscribedRows(connection, fire_triggers=False)
        assert rows.apply(b"INSERT INTO k(id,body)VALUES('theirs','one') /* rowid 1 */")
        assert rows.apply(b"UPDATE k SET id='theirs' WHERE id='theirs' /* rowid 1 */")
        assert list(connection.execute(NUMBERED)) == [(1, "mine", 1), (2, "theirs", "one")]


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, body)", "CREATE VIRTUAL TABLE f USING fts5(body, content='t')"),
        ("CREATE TABLE t (body)", "CREATE VIRTUAL TABLE f USING fts5(body, content='t')"),
        (
            "CREATE TABLE t (id TEXT PRIMARY KEY, n UNIQUE, body)",
            "CREATE VIRTUAL TABLE f USING fts5(body, content='t', content_rowid='n')",
        ),
        ("CREATE TABLE t (id TEXT PRIMARY KEY, body)", "CREATE VIRTUAL TABLE f USING fts5(body, content='')"),
        ("CREATE TABLE t (id TEXT PRIMARY KEY, body)", "CREATE VIRTUAL TABLE t_f USING fts5(body)"),
        (
            "CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID",
            "CREATE VIRTUAL TABLE f USING fts5(x, content='t')",
        ),
        ("CREATE VIEW t AS SELECT 1 AS body", "CREATE VIRTUAL TABLE f USING fts5(body, content='t')"),
    ],
)
def test_all_other_tables_are_named_by_their_key_alone(table: str, index: str) -> None:
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute(table)
        connection.execute(index)
        assert numbered_tables(connection) == frozenset()


def test_numbers_that_cannot_be_named_are_refused(writer: Writer) -> None:
    writer.execute("CREATE TABLE h (id TEXT PRIMARY KEY, rowid, _rowid_, oid)")
    writer.execute("INSERT INTO h VALUES ('a', 1, 2, 3)")
    with pytest.raises(StatementFailed, match="which columns called rowid, _rowid_ and oid hide"):
        writer.execute("CREATE VIRTUAL TABLE g USING fts5(id, content='h')")

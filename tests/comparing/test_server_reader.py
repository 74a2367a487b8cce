"""A database in PostgreSQL as a comparison reads it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import apsw
import attrs
import pytest

from spgrepl.comparing import table_reader
from spgrepl.comparing.server_reader import ServerReader
from spgrepl.comparing.sqlite_reader import SqliteReader
from spgrepl.comparing.table_reader import KeyRange
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.session import Session
from tests.postgresql.conftest import Database, database, postgres, shared

__all__ = ["database", "postgres", "shared"]


@pytest.fixture
def reader(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerReader]:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 3)
    session = Session(ServerAddress.parse(database.url), "test")
    yield ServerReader(session)
    session.close()


def test_what_is_compared(database: Database, reader: ServerReader) -> None:
    database.query("CREATE SCHEMA spgrepl")
    for statement in (
        "CREATE TABLE spgrepl.columns (table_name text, columns text)",
        "CREATE TABLE a (id int, t text, g int GENERATED ALWAYS AS (id + 1) STORED, PRIMARY KEY (t, id))",
        "CREATE TABLE b (id int, b bytea, n numeric, PRIMARY KEY (id, b, n))",
        "CREATE TABLE c (x int)",
        "CREATE VIEW v AS SELECT * FROM c",
        "CREATE SCHEMA hidden CREATE TABLE d (x int)",
    ):
        database.query(statement)
    found = reader.layouts()
    assert {name: (one.key, one.columns, one.ordered) for name, one in found.items()} == {
        "a": (("t", "id"), ("id", "t"), 1),
        "b": (("id", "b", "n"), ("id", "b", "n"), 2),
        "c": ((), ("x",), 0),
    }
    assert list(reader.layouts(["c"])) == ["c"]


@pytest.mark.parametrize(
    ("key", "kind", "values"),
    [
        ("INTEGER", "bigint", [-(2**63), -1, 0, 1, 2, 3, 5, 8, 2**63 - 2, 2**63 - 1]),
        ("TEXT", "text", ["", "A", "a", "a\x01", "aa", "b", "B", "ä", "z", "\uffff", "\U00010000", "%"]),
        ("BLOB", "bytea", [b"", b"\0", b"\0\0", b"\1", b"a", b"\xfe", b"\xff", b"\xff\0"]),
    ],
)
def test_ranges_have_the_same_sums_at_both_ends(
    key: str, kind: str, values: list[object], database: Database, reader: ServerReader
) -> None:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t (k {key} NOT NULL PRIMARY KEY)")
        database.query(f"CREATE TABLE t (k {kind} PRIMARY KEY)")
        for value in values:
            connection.execute("INSERT INTO t VALUES (?)", (value,))
            database.query("INSERT INTO t VALUES (%s)", value)
        here = SqliteReader(connection)
        there = reader.layouts()["t"]
        layout = attrs.evolve(here.layouts()["t"], types=there.types)
        stops = list(here.stops(layout, KeyRange()))
        assert stops == list(reader.stops(there, KeyRange()))
        ends = [None, *stops, None]
        ranges = [KeyRange(above, last) for above, last in itertools.pairwise(ends)]
        assert len(ranges) >= 3
        sums = here.sums(layout, ranges)
        assert sums == reader.sums(there, ranges)
        assert sums == [reader.sums(there, [one])[0] for one in ranges]
        assert sum(count for count, _ in sums) == here.count(layout) == reader.count(there) == len(values)


def test_what_does_not_fit_is_said(database: Database, reader: ServerReader) -> None:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY, a)")
        layout = SqliteReader(connection).layouts()["t"]
    assert str(reader.fit(layout)).endswith("does not have it")
    assert "is longer than the 63 bytes" in str(reader.fit(attrs.evolve(layout, name="t" * 64)))
    database.query("CREATE TABLE t (k text PRIMARY KEY, b int NOT NULL)")
    assert str(reader.fit(layout)).endswith("it has no column a there")
    database.query("ALTER TABLE t ADD COLUMN a int")
    assert "its column b needs a value" in str(reader.fit(layout))

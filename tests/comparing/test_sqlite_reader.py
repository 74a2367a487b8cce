"""A SQLite database as a comparison reads it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import attrs
import pytest

from spgrepl.comparing import table_reader
from spgrepl.comparing.sqlite_reader import SqliteReader
from spgrepl.comparing.table_reader import KeyRange, Layout
from spgrepl.errors import UsageError
from spgrepl.postgresql.column_types import ColumnType


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("CREATE TABLE t (a INTEGER PRIMARY KEY, b AS (a + 1))", Layout("t", ("a",), ("a",), 1)),
        ("CREATE TABLE t (a TEXT PRIMARY KEY, b)", Layout("t", ("a",), ("a", "b"), 1, nullable=True)),
        ("CREATE TABLE t (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID", Layout("t", ("b", "a"), ("a", "b"), 2)),
        ("CREATE TABLE t (a)", Layout("t", ("rowid",), ("rowid", "a"), 1, numbered=True)),
        ("CREATE TABLE t (rowid, oid, _rowid_)", Layout("t", (), ("rowid", "oid", "_rowid_"))),
    ],
)
def test_what_names_a_row(sql: str, expected: Layout) -> None:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute(sql)
        assert SqliteReader(connection).layouts() == {"t": expected}
        assert SqliteReader(connection).layouts(["T"]) == {"t": expected}
        assert SqliteReader(connection).layouts(["other"]) == {}


def test_ranges_have_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 3)
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a TEXT COLLATE NOCASE, b, PRIMARY KEY (a, b))")
        rows = [
            ("a", 1),
            ("A", 2),
            ("b", 1),
            ("B", 3),
            ("c", b"x"),
            ("c", "x"),
            ("c", None),
            (None, 1),
            ("d", 0.5),
        ]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        reader = SqliteReader(connection)
        layout = reader.layouts()["t"]
        stops = list(reader.stops(layout, KeyRange()))
        assert stops == [("a", 1), ("c", b"x")]
        ranges = [
            KeyRange(None, stops[0]),
            KeyRange(stops[0], stops[1]),
            KeyRange(stops[1], None),
            KeyRange(nameless=True),
        ]
        found = [row for one in ranges for batch in reader.read(layout, one) for row in batch]
        assert sorted(map(repr, found)) == sorted(map(repr, rows))
        assert [count for count, _ in reader.sums(layout, ranges)] == [3, 3, 1, 2]


def test_only_what_a_server_can_hold_ends_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 1)
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a NOT NULL PRIMARY KEY)")
        connection.executemany(
            "INSERT INTO t VALUES (?)", [(1,), (1.5,), (2,), ("a",), ("a\0b",), ("b",), (b"x",)]
        )
        reader = SqliteReader(connection)
        for base, stops in (("int8", [(1,), (2,)]), ("text", [("a",), ("b",)]), ("bytea", [(b"x",)])):
            layout = attrs.evolve(reader.layouts()["t"], types=(ColumnType(base, base),))
            assert list(reader.stops(layout, KeyRange())) == stops


def test_a_table_with_too_many_columns_is_named(tmp_path: Path) -> None:
    """A comparison in ranges asks for the type of each value too, and a result has 2,000 columns at most."""
    with contextlib.closing(apsw.Connection(str(tmp_path / "wide.db"))) as connection:
        connection.execute(
            f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(f'c{n}' for n in range(1000))})"
        )
        reader = SqliteReader(connection)
        with pytest.raises(UsageError, match="table wide has 1001 columns: tables of at most 1000"):
            next(reader.read(reader.layouts()["wide"], KeyRange()))


def test_it_is_never_asked_to_fit() -> None:
    """Whoever asks a running server for it, against the order of a comparison, is told in words."""
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        (layout,) = SqliteReader(connection).layouts().values()
        assert "a SQLite database" in str(SqliteReader(connection).fit(layout))

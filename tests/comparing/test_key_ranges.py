"""The rows that differ between two SQLite databases, whatever their tables look like."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from spgrepl.comparing import table_reader
from spgrepl.comparing.differences import RowDifference
from spgrepl.comparing.key_ranges import TableEnds
from spgrepl.comparing.matching import match
from spgrepl.comparing.repairing import RepairFile
from spgrepl.comparing.sqlite_reader import SqliteReader
from spgrepl.sqlite.comparison import compare_databases
from tests.comparing.test_pinned import change

TABLES = {
    "numbers": "CREATE TABLE t (a INTEGER PRIMARY KEY, b, c)",
    "words": "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b, c)",
    "without numbers": "CREATE TABLE t (b, a, c, PRIMARY KEY (a, c)) WITHOUT ROWID",
    "two columns": "CREATE TABLE t (a NOT NULL, b, c NOT NULL, PRIMARY KEY (c, a))",
    "no key": "CREATE TABLE t (a, b, c)",
    "a key that may be NULL": "CREATE TABLE t (a TEXT, b, c, PRIMARY KEY (a, b))",
    "generated": "CREATE TABLE t (a INTEGER PRIMARY KEY, b, c, d AS (b || c), e AS (a + 1) STORED)",
    "unique": "CREATE TABLE t (a INTEGER PRIMARY KEY, b, c UNIQUE)",
}
VALUES: list[Callable[[random.Random], Any]] = [
    lambda chosen: chosen.randrange(20),
    lambda chosen: float(chosen.randrange(20)),
    lambda chosen: f"text {chosen.randrange(20)}",
    lambda chosen: b"blob %d" % chosen.randrange(20),
    lambda _: None,
    lambda _: -0.0,
    lambda _: "it's; a \0 text",
]


def fill(connection: apsw.Connection, chosen: random.Random, rows: int) -> None:
    for _ in range(rows):
        values = [chosen.choice(VALUES)(chosen) for _ in range(3)]
        with contextlib.suppress(apsw.Error):
            connection.execute("INSERT OR IGNORE INTO t (a, b, c) VALUES (?, ?, ?)", values)


def spoil(connection: apsw.Connection, chosen: random.Random) -> None:
    for statement in (
        "DELETE FROM t WHERE random() % 9 = 0",
        "UPDATE OR IGNORE t SET b = 'other' WHERE random() % 7 = 0",
        "UPDATE OR IGNORE t SET b = CAST(x'fffe' AS TEXT) WHERE random() % 19 = 0",
        "UPDATE OR IGNORE t SET c = b, b = c WHERE random() % 11 = 0",
    ):
        with contextlib.suppress(apsw.Error):
            connection.execute(statement)
    fill(connection, chosen, 9)


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("seed", range(2))
def test_any_table_is_put_right(kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 5)
    chosen = random.Random(seed)
    first, second, file = tmp_path / "first.db", tmp_path / "second.db", tmp_path / "repair.sql"
    with contextlib.closing(apsw.Connection(str(first))) as connection:
        connection.execute("PRAGMA synchronous = OFF; BEGIN")
        connection.execute(TABLES[kind])
        fill(connection, chosen, 60)
        connection.execute("COMMIT")
    second.write_bytes(first.read_bytes())
    with contextlib.closing(apsw.Connection(str(second))) as connection:
        connection.execute("PRAGMA synchronous = OFF; BEGIN")
        spoil(connection, chosen)
        connection.execute("COMMIT")
    found = differences(first, second, file)
    assert found
    with contextlib.closing(sqlite3.connect(second, isolation_level=None)) as writing:
        writing.executescript(file.read_text("utf-8"))
    assert differences(first, second, tmp_path / "nothing.sql") == []
    if kind not in ("words", "two columns", "a key that may be NULL"):  # whose row numbers belong to each node
        compared = compare_databases(first, second)
        assert compared.equal, compared.differences


def differences(first: Path, second: Path, file: Path) -> list[RowDifference]:
    connections = apsw.Connection(str(first)), apsw.Connection(str(second))
    found: list[RowDifference] = []
    try:
        readers = SqliteReader(connections[0]), SqliteReader(connections[1])
        (pair,) = match(readers, ["t"]).pairs
        ends = TableEnds(readers, pair, lambda one, other: (one(), other()))
        with RepairFile(file) as repair:
            for one in ends.differences():
                found.append(one)
                assert str(one).startswith("table t, row ")
                repair.add(one)
    finally:
        for connection in connections:
            connection.close()
    return found


def test_texts_are_the_same_however_they_are_encoded(tmp_path: Path) -> None:
    """In UTF-16 they are in another order than in UTF-8, and have other bytes."""
    names = ["first.db", "second.db"]
    for name, encoding in zip(names, ("UTF-8", "UTF-16le"), strict=True):
        change(
            tmp_path / name,
            f"PRAGMA encoding = '{encoding}'",
            "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, b, c)",
            "INSERT INTO t VALUES ('\uffff', 'ü', 1), ('\U00010000', 'x', 2), ('a', '', 3)",
        )
    first, second = (tmp_path / name for name in names)
    assert differences(first, second, tmp_path / "nothing.sql") == []
    change(first, "UPDATE t SET b = 'é' WHERE c = 2")
    (found,) = differences(first, second, tmp_path / "repair.sql")
    assert str(found) == "table t, row a='\U00010000': differs in b"
    with contextlib.closing(sqlite3.connect(second, isolation_level=None)) as writing:
        writing.executescript((tmp_path / "repair.sql").read_text("utf-8"))
    assert differences(first, second, tmp_path / "again.sql") == []

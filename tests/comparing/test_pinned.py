"""Comparing a primary with its copies at one position, while they are written; and putting a copy right."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread

from spgrepl.cli import main
from spgrepl.comparing import table_reader
from spgrepl.comparing.differences import RowDifference
from spgrepl.comparing.ends import SqliteEnd
from spgrepl.comparing.key_ranges import TableEnds
from spgrepl.comparing.matching import match
from spgrepl.comparing.pinned import compare_pinned
from spgrepl.comparing.repairing import RepairFile
from spgrepl.comparing.sqlite_reader import SqliteReader
from spgrepl.comparing.table_reader import KeyRange
from spgrepl.errors import ConfigurationError, DifferentHistory, UsageError, WaitTimeout
from spgrepl.sqlite.comparison import compare_databases
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain"]


def change(database: Path, *statements: str) -> None:
    """Write a copy behind its follower's back."""
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        connection.set_busy_timeout(10_000)
        for statement in statements:
            connection.execute(statement)


@pytest_twisted.ensureDeferred
async def test_both_ends_are_compared_at_one_position_while_they_are_written(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_reader, "ROWS_IN_A_RANGE", 7)
    primary = await with_rows(chain, rows=30)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    leaf = await chain.follower("leaf", "relay")
    await grown(primary, leaf)
    going_on = [True]

    @inlineCallbacks
    def write() -> Any:
        while going_on:
            yield primary.execute(ROW)

    writing: Deferred[Any] = write()
    names = ("head", "relay", "leaf")
    databases = [chain.paths(name).database for name in names]
    last = 0
    for first, second in ((0, 1), (0, 2), (1, 2), (2, 0), (2, 1)):
        found = await deferToThread(compare_pinned, databases[first], databases[second])
        assert found.equal, found
        assert found.rows > 30
        assert found.position.history == primary.histories.current
        assert found.position >= last
        last = int(found.position)
    going_on.clear()
    await writing
    assert primary.position > last


@pytest_twisted.ensureDeferred
async def test_rows_that_differ_are_named_and_put_right(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    primary = await with_rows(chain, rows=30)
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    await grown(primary, copy)
    head, other = chain.paths("head").database, chain.paths("copy").database
    statements = (
        "DELETE FROM t WHERE a = 3",
        "UPDATE t SET b = 'it''s' WHERE a = 4",
        "INSERT INTO t VALUES (77, NULL)",
    )
    await deferToThread(change, other, *statements)
    file = tmp_path / "repair.sql"
    words = ("compare", "--pinned", "--repair", str(file), str(head), str(other))
    assert await chain.command(*words) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "table t, row a=3: missing in the second",
        "table t, row a=4: differs in b",
        "table t, row a=77: in the second only",
    ]
    assert said[3].startswith(f"at position {primary.position}@{primary.histories.current}; writers were kept")
    assert said[4:] == ["3 rows differ, 30 are equal", f"4 statements are in {file}"]
    await deferToThread(change, other, *file.read_text().split(";\n")[:-1])
    assert await chain.command("compare", "--pinned", str(head), str(other)) == 0
    assert await chain.command(*words) == 64
    assert "is there already" in capsys.readouterr().err


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_pinned(chain: Chain, tmp_path: Path) -> None:
    primary, other = await with_rows(chain), await with_rows(chain, "other")
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    await grown(primary, copy)
    await chain.stop(copy)
    await primary.execute(ROW)
    paths = [chain.paths(name).database for name in ("head", "copy", "other")]
    with pytest.raises(WaitTimeout, match="did not come to"):
        await deferToThread(partial(compare_pinned, paths[0], paths[1], seconds=0.1))
    # Nobody is kept waiting any more.
    await primary.execute(ROW)
    with pytest.raises(DifferentHistory, match="share no history"):
        await deferToThread(compare_pinned, paths[0], paths[2])
    await deferToThread(change, tmp_path / "plain.db", "CREATE TABLE t (a)")
    with pytest.raises(ConfigurationError, match="not the database of a primary, a follower or a subscriber"):
        await deferToThread(compare_pinned, paths[0], tmp_path / "plain.db")
    await other.close()


def test_repairing_needs_pinning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--repair", "x", "a", "b"]) == 64
    assert main(["compare", "--subscription", "x", "a", "b"]) == 64
    assert "--subscription needs --pinned" in capsys.readouterr().err


# -- every kind of table --------------------------------------------------------------------------------------

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


def test_a_repair_that_was_not_finished_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError), RepairFile(tmp_path / "x"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").write_text("somebody's")
    with pytest.raises(UsageError, match="is there already"):
        RepairFile(tmp_path / "x")


def test_a_database_that_is_held_takes_no_writes_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    change(path, "CREATE TABLE t (a)")
    with contextlib.closing(SqliteEnd(path)) as end, contextlib.closing(apsw.Connection(str(path))) as other:
        with end.holding(), pytest.raises(apsw.BusyError):
            other.execute("INSERT INTO t VALUES (1)")
        other.execute("INSERT INTO t VALUES (1)")


def test_a_table_with_too_many_columns_is_named(tmp_path: Path) -> None:
    """A comparison in ranges asks for the type of each value too, and a result has 2,000 columns at most."""
    with contextlib.closing(apsw.Connection(str(tmp_path / "wide.db"))) as connection:
        connection.execute(
            f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(f'c{n}' for n in range(1000))})"
        )
        reader = SqliteReader(connection)
        with pytest.raises(UsageError, match="table wide has 1001 columns: tables of at most 1000"):
            next(reader.read(reader.layouts()["wide"], KeyRange()))


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

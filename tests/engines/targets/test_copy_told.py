"""How far an initial copy into SQLite is, while one statement copies a whole table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from spgrepl.engines.targets import copy_told
from spgrepl.engines.targets.copy_told import CopyTold
from spgrepl.engines.targets.table_shape import TableShape, read_shape
from spgrepl.text.placing import PlacingBoard

FILL = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000) INSERT INTO"
Told = list[dict[str, Any]]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[apsw.Connection]:
    """A target with empty tables, and a source attached that has rows."""
    source = apsw.Connection(str(tmp_path / "source.db"))
    tables = (
        "CREATE TABLE dense (id INTEGER PRIMARY KEY, b)",
        "CREATE TABLE keyed (k PRIMARY KEY, b) WITHOUT ROWID",
        "CREATE TABLE none (id INTEGER PRIMARY KEY, b)",
        "CREATE TABLE edge (id INTEGER PRIMARY KEY, b)",
    )
    for sql in tables:
        source.execute(sql)
    source.execute(f"{FILL} dense SELECT i + 1000, zeroblob(100) FROM n")
    source.execute(f"{FILL} keyed SELECT i, zeroblob(100) FROM n")
    source.execute("INSERT INTO edge VALUES (-9223372036854775808, 1), (9223372036854775807, 2)")
    source.close()
    with contextlib.closing(apsw.Connection(str(tmp_path / "target.db"))) as connection:
        for sql in ("PRAGMA journal_mode = WAL", "PRAGMA cache_size = -500", *tables):
            connection.execute(sql).fetchall()
        connection.execute("ATTACH ? AS source", (str(tmp_path / "source.db"),))
        connection.execute("BEGIN")
        yield connection
        connection.execute("ROLLBACK")


def copied(target: apsw.Connection, path: Path, *names: str, after: Callable[[], None] = lambda: None) -> Told:
    """Copy tables, and return what was told on the way."""
    board = PlacingBoard(1)
    told: Told = []
    shapes = [shape for name in names if (shape := read_shape(target, name)) is not None]

    def copy_one(teller: CopyTold, shape: TableShape) -> None:
        with teller.watching(shape):
            target.execute(f"INSERT INTO main.{shape.name} SELECT * FROM source.{shape.name} NOT INDEXED")
        after()

    def copy() -> None:
        teller = CopyTold(target, path, "source", shapes)
        look = teller._look

        def seen(table: TableShape) -> bool:
            found = look(table)
            told.append(board.as_values()["placing"])
            return found

        teller._look = seen  # type: ignore[method-assign]
        for shape in shapes:
            copy_one(teller, shape)
            told.append(board.as_values()["placing"])

    board.run(copy)
    return told


def test_rows_and_bytes_are_seen_while_one_statement_runs(
    target: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_told, "_STEPS", 20_000)
    told = copied(target, tmp_path / "target.db", "dense", "keyed")
    of_dense = [one for one in told if one["table"] == "dense"]
    assert len(of_dense) > 10
    rows = [one["rows"] for one in of_dense]
    assert rows == sorted(rows)
    assert 0 < rows[1] < rows[-1] == 40_000
    assert {one["rows_total"] for one in told} == {80_000}
    grown = [one["bytes"] for one in of_dense]
    assert grown == sorted(grown)
    assert grown[-1] > 3_000_000
    # Without row numbers only whole tables count.
    assert {one["rows"] for one in told if one["table"] == "keyed"} == {40_000, 80_000}
    assert told[-1]["share"] == 1


def test_row_numbers_at_both_ends_and_tables_without_rows(target: apsw.Connection, tmp_path: Path) -> None:
    told = copied(target, tmp_path / "target.db", "none", "edge")
    assert [(one["table"], one["rows"], one["rows_total"]) for one in told] == [("none", 0, 2), ("edge", 2, 2)]


def test_it_is_over_when_the_table_is_there(
    target: apsw.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy_told, "_STEPS", 20_000)
    between = "SELECT count(*) FROM source.keyed a, source.keyed b WHERE b.k < 20"
    told = copied(target, tmp_path / "target.db", "edge", after=lambda: target.execute(between).get)
    assert len(told) == 1


def test_where_nobody_looks_no_row_is_counted(target: apsw.Connection, tmp_path: Path) -> None:
    asked: list[str] = []
    shape = read_shape(target, "dense")
    assert shape is not None
    target.set_exec_trace(lambda _cursor, sql, _values: asked.append(sql) or True)  # type: ignore[func-returns-value]
    with CopyTold(target, tmp_path / "target.db", "source", [shape]).watching(shape):
        pass
    assert asked == []

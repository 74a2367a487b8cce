"""Rows read from their tables, where SQLite does not report them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from spgrepl.primary.changes.guard import ObjectGuard
from spgrepl.primary.changes.layout import Unwritable
from spgrepl.primary.changes.row_reader import RowReader
from spgrepl.rows.values import RawText

TABLE: Any = SimpleNamespace(name="t", columns=("a", "b c"), row_number="rowid")


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        made.execute("CREATE TABLE t (a, \"b c\"); INSERT INTO t VALUES (1, NULL), (2.5, CAST(x'ff' AS TEXT))")
        yield made


@pytest.fixture
def reader(connection: apsw.Connection) -> RowReader:
    guard = ObjectGuard()
    guard.install(connection)
    guard.watching = True
    made = RowReader(connection, guard)
    made.look_at_encoding()
    return made


def test_a_row_is_read_by_its_number(reader: RowReader) -> None:
    assert reader.codec is None
    assert reader.row(TABLE, 1) == (1, None)
    assert reader.row(TABLE, 2) == (2.5, RawText(b"\xff"))


def test_a_row_that_is_not_there_is_named(reader: RowReader) -> None:
    with pytest.raises(Unwritable, match="row 7 of table t cannot be read"):
        reader.row(TABLE, 7)


def test_all_rows_with_their_numbers(reader: RowReader) -> None:
    assert list(reader.all_rows(TABLE)) == [((1, None), 1), ((2.5, RawText(b"\xff")), 2)]
    without: Any = SimpleNamespace(name="t", columns=("a",), row_number=None)
    assert sorted(number for _, number in reader.all_rows(without)) == [0, 0]


def test_text_in_another_encoding(connection: apsw.Connection) -> None:
    with closing(apsw.Connection(":memory:")) as other:
        other.execute("PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a, \"b c\"); INSERT INTO t VALUES ('é', 'x')")
        reader = RowReader(other, ObjectGuard())
        reader.look_at_encoding()
        assert reader.codec == "UTF-16le"
        assert reader.row(TABLE, 1) == ("é", "x")

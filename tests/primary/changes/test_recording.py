"""What a group will add to the log: in memory, in a file, and cut."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.log.format.parser import RecordParser
from spgrepl.primary.changes.recording import Mark, Recording
from tests.primary.copying import assert_same_on_copy, opened

statements = st.binary(min_size=0, max_size=300).map(lambda data: data.hex().encode())
steps = st.one_of(statements, st.sampled_from(["mark", "cut", "end", "undo"]))


def decoded(data: bytes) -> list[bytes]:
    """The statements of records."""
    parser = RecordParser()
    parser.feed(data)
    found: list[bytes] = []
    while (batch := parser.next_batch()) is not None:
        found += [sql for sql in batch.sql if sql is not None]
    assert parser.held == 0
    return found


@settings(max_examples=150)
@given(st.lists(steps, max_size=40), st.sampled_from([0, 100, 10_000]))
def test_it_holds_what_was_not_taken_back(
    tmp_path_factory: pytest.TempPathFactory, work: list[bytes | str], limit: int
) -> None:
    """Each request is one record, or a transaction of several; memory or file make no difference."""
    recording = Recording(tmp_path_factory.getbasetemp(), limit)
    done: list[list[bytes]] = []
    current: list[bytes] = []
    marks: list[tuple[Mark, int]] = []
    ends = [0]
    recording.begin()
    for step in [*work, "end"]:
        if isinstance(step, bytes):
            recording.add(step)
            current.append(step)
        elif step == "mark":
            marks.append((recording.mark(), len(current)))
        elif step == "cut" and marks:
            mark, count = marks.pop()
            recording.cut(mark)
            del current[count:]
        elif step in ("end", "undo"):
            if step == "end":
                recording.end()
                done.append(current)
            else:
                recording.undo()
            ends.append(recording.length)
            current, marks = [], []
            recording.begin()
    data = b"".join(recording.pieces())
    expected: list[bytes] = []
    for request in done:
        expected += request if len(request) < 2 else [b"BEGIN", *request, b"COMMIT"]
    assert decoded(data) == expected
    assert len(data) == recording.length
    assert recording.crc() == crc32(data)
    for start, stop in pairwise(ends):
        assert b"".join(recording.pieces(start, stop)) == data[start:stop]
        assert recording.crc(start, stop) == crc32(data[start:stop])
    assert list(recording.statements()) == [sql for request in done for sql in request]
    recording.clear()
    assert (recording.length, recording.is_empty, list(recording.pieces())) == (0, True, [b""])


def test_its_file_has_no_name(tmp_path: Path) -> None:
    """Nothing is left behind, and nobody else may read it."""
    recording = Recording(tmp_path, 10)
    recording.begin()
    recording.add(b"x" * 100)
    recording.end()
    assert list(tmp_path.iterdir()) == []
    assert recording._file is not None
    assert os.fstat(recording._file.fileno()).st_mode & 0o777 == 0o600
    recording.clear()


@pytest.mark.parametrize("limit", [1000, 10_000_000])
def test_many_rows_pass_through_little_memory(tmp_path: Path, limit: int) -> None:
    """Savepoints, failures and a transaction that is lost in between work across the file."""
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
    with opened(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)") as writer:
        recording = writer._session().recording
        recording._limit = limit
        writer.execute(f"{many} INSERT INTO t SELECT i, i FROM n")
        writer.transaction(
            "UPDATE t SET a = a + 1",
            "SAVEPOINT s",
            "UPDATE t SET a = 0",
            "ROLLBACK TO s",
            "SAVEPOINT s",
            "DELETE FROM t WHERE id < 300",
            "RELEASE s",
        )
        answers = writer.run(
            [
                writer.request("UPDATE t SET a = random()"),
                writer.request(f"{many} INSERT OR ROLLBACK INTO t SELECT i, i FROM n"),
                writer.request("UPDATE t SET a = a + 1"),
            ]
        )
        assert [hasattr(answer, "position") for answer in answers] == [True, False, True]
        assert_same_on_copy(writer)
        (kept,) = writer.rows("SELECT count(*) FROM t")
        assert kept == (101,)


@pytest.mark.parametrize(
    ("sql", "once"),
    [
        ("DELETE FROM t", True),
        ("DELETE FROM t WHERE id > 0", True),
        ("DELETE FROM t WHERE id < 200", False),
        ("DELETE FROM few", False),
        ("DELETE FROM watched", False),
    ],
)
def test_emptied_tables(tmp_path: Path, sql: str, once: bool) -> None:
    """One record says that a table was emptied of many rows, where nothing else happened meanwhile."""
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
    with opened(tmp_path) as writer:
        for name in ("t", "few", "watched"):
            writer.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY)")
            writer.execute(f"{many} INSERT INTO {name} SELECT i FROM n LIMIT {3 if name == 'few' else 200}")
        writer.execute(
            "CREATE TRIGGER w AFTER DELETE ON watched BEGIN INSERT INTO few VALUES (OLD.id + 1000); END"
        )
        before = len(writer.logged())
        writer.execute(sql)
        assert (len(writer.logged()) == before + 1) is once
        assert_same_on_copy(writer)


@pytest.mark.parametrize("subscribers", ["publication", "level", "level before", None])
def test_an_emptied_table_is_recorded_row_by_row_where_there_may_be_subscribers(
    tmp_path: Path, subscribers: str | None
) -> None:
    """They have rows of their own, which one record for all could not tell from those that went."""
    with opened(tmp_path) as writer:
        writer.transaction("CREATE TABLE t (id INTEGER PRIMARY KEY)", "CREATE TABLE u (id INTEGER PRIMARY KEY)")
        writer.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
            "INSERT INTO t SELECT i FROM n"
        )
        if subscribers == "publication":
            writer.execute("CREATE PUBLICATION p FOR TABLE u")
        if subscribers in ("level", "level before"):
            writer.control.each_row = lambda: True
        if subscribers == "level before":
            # Another program may write now, beside the one that serves.
            writer.execute("INSERT INTO u VALUES (1)")
            writer.control.each_row = bool
        before = len(writer.logged())
        writer.execute("DELETE FROM t")
        assert len(writer.logged()) - before == (202 if subscribers else 1)
        assert_same_on_copy(writer)

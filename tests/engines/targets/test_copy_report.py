"""What the log says of an initial copy that takes long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.engines.targets.copy_report import AFTER, EVERY, CopyLines, told_by_growth


@pytest.fixture
def lines() -> Iterator[list[str]]:
    found: list[str] = []

    def note(event: LogEvent) -> None:
        if "initial copy: " in (text := formatEvent(event)):
            found.append(text.partition("initial copy: ")[2])

    globalLogPublisher.addObserver(note)  # type: ignore[arg-type]
    yield found
    globalLogPublisher.removeObserver(note)  # type: ignore[arg-type]


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot"
    path.write_bytes(bytes(8_000_000))
    return path


def test_bytes_rows_rate_and_the_time_that_is_left(snapshot: Path, lines: list[str]) -> None:
    clock = Clock()
    copying = CopyLines(snapshot, clock.seconds)
    for rows in range(1, 3):
        clock.advance(AFTER / 2)
        copying.tell(rows * 1_000_000, rows * 5000)
    assert lines == ["2 of about 8 MB, 1.0 MB/s, 10,000 rows, 5,000 rows/s, 6 s left"]
    clock.advance(EVERY / 2)
    copying.tell(5_000_000)
    assert len(lines) == 1
    clock.advance(EVERY / 2)
    copying.tell(9_000_000)
    assert lines[1:] == ["9 of about 8 MB, 0.8 MB/s, 0 s left"]


def test_a_copy_that_is_done_at_once_says_nothing(snapshot: Path, lines: list[str]) -> None:
    CopyLines(snapshot, Clock().seconds).tell(8_000_000, 10)
    assert lines == []


def test_in_sqlite_it_is_seen_while_one_statement_runs(tmp_path: Path, snapshot: Path, lines: list[str]) -> None:
    """The transaction is open all the time: what tells is how the files grow."""
    clock = iter(range(0, 10**6, int(EVERY)))
    path = tmp_path / "copy.db"
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        for sql in ("PRAGMA journal_mode = WAL", "PRAGMA cache_size = -500", "CREATE TABLE t (a, b)", "BEGIN"):
            connection.execute(sql).fetchall()
        with told_by_growth(connection, path, CopyLines(snapshot, lambda: float(next(clock)))):
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) "
                "INSERT INTO t SELECT i, zeroblob(100) FROM n"
            )
        count = len(lines)
        assert count > 3
        done = [float(line.partition(" of about 8 MB, ")[0]) for line in lines]
        assert done == sorted(done)
        assert done[-1] > 2
        connection.execute("INSERT INTO t SELECT * FROM t")
        assert len(lines) == count  # it is over
        connection.execute("ROLLBACK")

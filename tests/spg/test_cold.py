"""The rows of segments that a snapshot says to be alive, and those whose segments are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spgrepl.spg.cold as cold_module
from spgrepl.errors import MalformedSpgFile
from spgrepl.spg.cold import NAMED, ColdRows, MissingRows
from spgrepl.spg.snapshot import Snapshot
from tests.segments.samples import put as put_segments
from tests.spg import writer as w
from tests.spg.samples import ROWS, snapshot_with


def cold_rows(path: Path, folder: Path | None) -> tuple[list[list[object]], MissingRows]:
    missing = MissingRows("t", "id")
    with Snapshot(path) as snapshot:
        rows = ColdRows(snapshot, folder)
        try:
            return [*rows.rows(snapshot.catalogue.tables[0], missing.add)], missing
        finally:
            rows.close()


def test_only_rows_that_the_index_says_to_live(tmp_path: Path) -> None:
    put_segments(tmp_path / "segments", {3: w.segment(ROWS), 4: w.segment([(7, w.row(w.i32(7), None))])})
    path = snapshot_with(tmp_path, [(1, [w.hot(0)]), (7, [w.cold(3), w.cold(4)]), (8, []), (9, [w.cold(3)])])
    rows, missing = cold_rows(path, tmp_path / "segments")
    assert rows == [[7, "seven"], [7, None], [9, "x" * 900]]
    assert missing.count == 0


def test_segments_are_closed_when_many_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cold_module, "MOST_OPEN", 2)
    contents = {number: w.segment([(number, w.row(w.i32(number), None))]) for number in range(6)}
    put_segments(tmp_path / "segments", contents)
    entries = [(number, [w.cold(number)]) for number in (*range(6), 0, 5, 1)]
    rows, _ = cold_rows(snapshot_with(tmp_path, entries), tmp_path / "segments")
    assert [row[0] for row in rows] == [*range(6), 0, 5, 1]


def test_missing_rows_are_named(tmp_path: Path) -> None:
    put_segments(tmp_path / "segments", {3: w.segment(ROWS)})
    entries = [(number, [w.cold(8)]) for number in range(30, 60)]
    rows, missing = cold_rows(snapshot_with(tmp_path, [(7, [w.cold(3)]), *entries]), tmp_path / "segments")
    assert len(rows) == 1
    assert missing.segments == {8: 30}
    assert str(missing).startswith("30 rows of t: id = 30 (segment 8), id = 31")
    assert str(missing).endswith("id = 49 (segment 8) and 10 more")
    assert cold_rows(snapshot_with(tmp_path, entries), None)[1].count == 30


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (w.segment([(8, b"")]), "key 7 of t lives in this segment, which has no such row"),
        (w.segment([(7, w.row(w.i32(7), None, None))]), "key 7 of t does not fit the table's columns"),
    ],
)
def test_segments_that_do_not_fit_the_snapshot_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    put_segments(tmp_path / "segments", {3: content})
    with pytest.raises(MalformedSpgFile, match=words):
        cold_rows(snapshot_with(tmp_path, [(7, [w.cold(3)])]), tmp_path / "segments")


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 3)), max_size=30))
def test_what_is_missing_is_counted_by_segment(rows: list[tuple[int, int]]) -> None:
    missing = MissingRows("t", "id")
    for row in rows:
        missing.add(*row)
    segments = [segment for _, segment in rows]
    assert missing.count == len(rows)
    assert missing.segments == {segment: segments.count(segment) for segment in segments}
    assert missing.keys == rows[:NAMED]
    assert ("more" in str(missing)) == (len(rows) > NAMED)


def test_a_segment_is_looked_for_once(tmp_path: Path) -> None:
    """What comes while rows are read is of the next time."""
    path = snapshot_with(tmp_path, [(7, [w.cold(3)]), (9, [w.cold(3)])])
    with Snapshot(path) as snapshot:
        cold, missing = ColdRows(snapshot, tmp_path / "segments"), MissingRows("t", "id")
        rows = cold.rows(snapshot.catalogue.tables[0], missing.add)
        put_segments(tmp_path / "segments", {})
        assert list(rows) == []
        put_segments(tmp_path / "segments", {3: w.segment(ROWS)})
        assert [*cold.rows(snapshot.catalogue.tables[0], missing.add)] == []
        assert missing.count == 4
        cold.close()
        assert len([*cold.rows(snapshot.catalogue.tables[0], missing.add)]) == 2
        cold.close()

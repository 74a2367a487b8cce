"""What is judged before an initial copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.engines.targets.copy_report import NO_COPY, judge_snapshot, report_copy
from spgrepl.engines.targets.initial_copy import plan_copy
from spgrepl.errors import SnapshotError
from spgrepl.text.placing import PlacingBoard
from tests.sql import connect


def snapshot_in(folder: Path) -> Path:
    path = folder / "snapshot"
    connection = connect(path)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
    connection.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END")
    connection.close()
    return path


def test_what_is_not_a_snapshot_is_refused_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "snapshot"
    path.write_bytes(b"something else, of no use at all")
    with pytest.raises(SnapshotError, match=NO_COPY):
        judge_snapshot(path, (), 8, None, None)


def test_the_plan_has_every_table_where_no_publication_is_named(tmp_path: Path) -> None:
    board = PlacingBoard(1)
    plan, state = board.run(judge_snapshot, snapshot_in(tmp_path), (), 8, None, None)
    assert [table.shape.name for table in plan.tables] == ["t"]
    assert (state.position, state.effective_start) == (8, 8)


def test_triggers_are_named_that_are_not_copied(tmp_path: Path) -> None:
    said: list[str] = []

    def note(event: LogEvent) -> None:
        said.append(formatEvent(event))

    globalLogPublisher.addObserver(note)  # type: ignore[arg-type]
    try:
        report_copy(plan_copy(snapshot_in(tmp_path), ()), "here", "s")
    finally:
        globalLogPublisher.removeObserver(note)  # type: ignore[arg-type]
    assert any("triggers are not copied" in line and "r (on t)" in line for line in said)
    assert any("1 table was copied to here: t" in line for line in said)

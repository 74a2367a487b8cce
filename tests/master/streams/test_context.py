"""What all streams of a master share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.master.streams.context import MasterContext
from spgrepl.segments.outgoing import SegmentFolder
from tests.master.kit import Master, status


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path, bytes(10))
    yield made
    made.close()


def test_one_status_frame_for_all_until_the_log_grows(master: Master) -> None:
    context: MasterContext = master.context
    frame = context.status_frame()
    assert frame == status(10)
    assert context.status_frame() is frame
    master.log.grow(b"12345")
    assert context.status_frame() == status(15)


def test_the_more_connections_the_sooner_the_others_have_their_turn(master: Master) -> None:
    alone = master.context.burst
    master.connect()
    assert master.context.burst == alone
    for _ in range(3):
        master.connect()
    assert master.context.burst == alone // 4


def test_nobody_is_answered_before_the_log_is_known(master: Master) -> None:
    assert master.context.ready
    master.log.known = False
    assert not master.context.ready


def test_a_cursor_for_each_where_there_are_segments(tmp_path: Path, master: Master) -> None:
    assert master.context.segment_cursor() is None
    with_segments = Master(tmp_path / "other", segments=SegmentFolder(tmp_path, tmp_path / "manifest.v10"))
    first = with_segments.context.segment_cursor()
    assert first is not None
    assert first is not with_segments.context.segment_cursor()
    with_segments.close()

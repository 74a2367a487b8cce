"""The bytes of a log by positions: a log that is another one, or shorter than it was, is told as what it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import HistoryDiverged, LogTruncated, StartLost
from spgrepl.feed.log_bytes import COMPARED, LogBytes

BASE = 1000
CONTENT = bytes(number * 7 % 251 for number in range(2000))
END = BASE + len(CONTENT)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LogBytes]:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(CONTENT)
    found = LogBytes(os.open(path, os.O_RDONLY), BASE, "the log")
    yield found
    found.close()
    found.close()


@settings(max_examples=50)
@given(position=st.integers(BASE, END), size=st.integers(0, 2500))
def test_bytes_by_their_positions(log: LogBytes, position: int, size: int) -> None:
    wanted = CONTENT[position - BASE : position - BASE + size]
    if len(wanted) < size:
        with pytest.raises(LogTruncated, match=f"ends at position {END}, before"):
            log.read(position, size)
    else:
        assert log.read(position, size) == wanted


@settings(max_examples=50)
@given(position=st.integers(BASE, END), rows=st.booleans())
def test_a_mark_is_of_the_same_log(log: LogBytes, position: int, rows: bool) -> None:
    mark = log.mark(position, rows)
    assert (mark.position, mark.rows, mark.compared_from) == (position, rows, max(BASE, position - COMPARED))
    assert mark.crc == crc32(CONTENT[mark.compared_from - BASE : position - BASE])
    log.compare(mark, END)


def test_a_log_that_is_not_the_same_one(log: LogBytes, tmp_path: Path) -> None:
    mark = log.mark(BASE + 1500, True)
    changed = bytearray(CONTENT)
    changed[1400] ^= 1
    for content, base, end, error in (
        (bytes(changed), BASE, END, HistoryDiverged),
        (CONTENT[:1200], BASE, BASE + 1200, LogTruncated),
        (CONTENT[:1200], BASE, END, LogTruncated),  # cut since its end was looked at
        (CONTENT[1100:], BASE + 1100, END, StartLost),
        (CONTENT[1600:], BASE + 1600, END, StartLost),
    ):
        (tmp_path / "log").write_bytes(content)
        other = LogBytes(os.open(tmp_path / "log", os.O_RDONLY), base, "the other log")
        with pytest.raises(error, match="the other log"):
            other.compare(mark, end)
        other.close()


@given(position=st.integers(0, 2 * END))
def test_positions_inside(log: LogBytes, position: int) -> None:
    if BASE <= position <= END:
        log.require_inside(position, END)
    else:
        with pytest.raises(StartLost if position < BASE else LogTruncated):
            log.require_inside(position, END)

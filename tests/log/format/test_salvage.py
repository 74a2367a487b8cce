"""Finding the next record that is certainly one, after a place where a log cannot be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.log.format import salvage
from spgrepl.log.format.records import RecordType, encode_timed, encode_v1, encode_v2, encode_v3
from spgrepl.log.format.salvage import SearchResult, find_record, is_whole
from spgrepl.log.reader import Damage, scan_log

INSERT = b"INSERT INTO t VALUES (1)"
LIMIT = 1024 * 1024
NOISE = b"\xff" * 50
LONG = b"\x00\x00\x02\xc0....\x01" + b"z" * 0x20000
"""What looks like a long record whose checksum is wrong."""

Opened = Callable[[bytes], int]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Write a log and give its descriptor."""
    descriptors: list[int] = []

    def write(content: bytes) -> int:
        path = tmp_path / f"{len(descriptors)}.wal"
        path.write_bytes(content)
        descriptors.append(os.open(path, os.O_RDONLY))
        return descriptors[-1]

    yield write
    for descriptor in descriptors:
        os.close(descriptor)


def search(opened: Opened, content: bytes, start: int = 0, limit: int = LIMIT) -> SearchResult:
    return find_record(opened(content), start, len(content), limit)


@pytest.mark.parametrize(
    "record",
    [encode_v2(INSERT), encode_v3(RecordType.SQL, INSERT), encode_timed(RecordType.TIMED, 1, None, INSERT)],
    ids=["v2", "v3", "timed"],
)
def test_a_record_with_the_right_checksum_is_found(opened: Opened, record: bytes) -> None:
    assert search(opened, NOISE + record + NOISE) == SearchResult(len(NOISE))
    assert search(opened, NOISE + record[:-1] + b"\x00" + NOISE) == SearchResult(None)


def test_a_record_without_a_checksum_needs_one_after_it(opened: Opened) -> None:
    record = encode_v1(INSERT)
    assert search(opened, NOISE + record + encode_v1(INSERT)) == SearchResult(len(NOISE))
    assert search(opened, NOISE + record) == SearchResult(len(NOISE))
    assert search(opened, NOISE + record + b"\xff\xff\xff\xff") == SearchResult(None)
    assert search(opened, NOISE + encode_v1(INSERT + b"\x00") + record[:4]) == SearchResult(None)


def test_the_search_begins_where_it_is_told(opened: Opened) -> None:
    record = encode_v2(INSERT)
    content = record + NOISE + record
    assert search(opened, content) == SearchResult(0)
    assert search(opened, content, start=1) == SearchResult(len(record + NOISE))


def test_a_record_above_the_limit_is_not_one(opened: Opened) -> None:
    record = encode_v2(b"INSERT " + b"y" * 5000)
    assert search(opened, record, limit=LIMIT) == SearchResult(0)
    assert search(opened, record, limit=1000) == SearchResult(None)


def test_a_search_that_gave_up_says_so(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search(opened, LONG) == SearchResult(None, complete=True)
    monkeypatch.setattr(salvage, "_LONG_BUDGET", 10)
    assert search(opened, LONG) == SearchResult(None, complete=False)
    # And calls nothing torn, which could be cut off then.
    log = tmp_path / "main.wal"
    log.write_bytes(encode_v2(INSERT) + b"\xff\xff\xff\xc1....\x01" + LONG)
    report = scan_log(log)
    assert (report.damage, report.next_whole) == (Damage.BROKEN, None)


def test_whole_is_what_ends_within_the_log_and_has_its_checksum(opened: Opened) -> None:
    record = encode_v3(RecordType.SQL, INSERT)
    descriptor = opened(NOISE + record)
    start, end = len(NOISE), len(NOISE + record)
    assert is_whole(descriptor, start, end)
    assert not is_whole(descriptor, start, end - 1)
    assert not is_whole(descriptor, start + 1, end)
    assert not is_whole(opened(encode_v1(INSERT)), 0, len(encode_v1(INSERT)))


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_what_is_found_first_is_never_after_the_record_that_is_there(front: bytes, sql: bytes) -> None:
    content = front + encode_v3(RecordType.SQL, sql)
    descriptor = os.memfd_create("log")
    try:
        os.write(descriptor, content)
        found = find_record(descriptor, 0, len(content), LIMIT)
    finally:
        os.close(descriptor)
    assert found.position is not None
    assert found.position <= len(front)

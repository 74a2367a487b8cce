"""A snapshot on its way to the disk: in constant memory, refused early, never left half."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from spgrepl.errors import EngineFailed, LimitReached, SnapshotError
from spgrepl.replica.snapshot_receiver import HIGH_WATER, WRITE_BYTES, IncomingSnapshot, SnapshotPlace
from spgrepl.sqlite.database_copy import check_head
from tests.log.samples import cut, places
from tests.replica.following.copies import quick_folder


class HeldWorker:
    """A worker that runs its calls, in order, when the test says so."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, tuple[Any, ...], Deferred[Any]]] = []

    def call(self, function: Any, *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.calls.append((function, arguments, done))
        return done

    def run(self) -> None:
        while self.calls:
            function, arguments, done = self.calls.pop(0)
            try:
                result = function(*arguments)
            except OSError:
                done.errback(Failure())
            else:
                done.callback(result)


def incoming(path: Path, length: int, check: Any = lambda head: None) -> tuple[IncomingSnapshot, HeldWorker]:
    worker: Any = HeldWorker()
    return IncomingSnapshot(worker, SnapshotPlace(path), length, check), worker


@given(content=st.binary(max_size=3000), marks=places)
def test_what_came_is_in_the_file(content: bytes, marks: list[int]) -> None:
    with quick_folder() as folder:
        path = folder / "incoming"
        snapshot, worker = incoming(path, len(content))
        for piece in cut(content, marks):
            snapshot.add(piece)
        done = snapshot.finish()
        worker.run()
        assert done.result is None
        assert path.read_bytes() == content
        assert snapshot.received == len(content)


def test_memory_is_bounded_by_the_disk(tmp_path: Path) -> None:
    snapshot, worker = incoming(tmp_path / "incoming", 100 * WRITE_BYTES)
    given_away = 0
    while not snapshot.full and given_away < 2 * HIGH_WATER:
        snapshot.add(b"x" * 70_000)
        given_away += 70_000
    assert given_away <= HIGH_WATER + 70_000
    worker.run()
    assert not snapshot.full
    # What was written is no longer held.
    assert sum(map(len, snapshot._pieces)) < WRITE_BYTES


def test_a_snapshot_without_room_is_refused_before_its_first_byte(tmp_path: Path) -> None:
    with pytest.raises(LimitReached, match=r"has \d+ bytes free: \d+ bytes are to come"):
        incoming(tmp_path / "incoming", shutil.disk_usage(tmp_path).free * 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("marks", [[], [3], [3, 9], list(range(1, 40))])
def test_a_snapshot_of_another_kind_is_refused_by_its_first_bytes(tmp_path: Path, marks: list[int]) -> None:
    snapshot, worker = incoming(tmp_path / "incoming", 10**6, check_head)
    with pytest.raises(SnapshotError, match="SPG server's own"):
        list(map(snapshot.add, cut(b"SPGENV01" + b"x" * 40, marks)))
    assert snapshot.received < 20
    snapshot.discard()
    worker.run()
    assert list(tmp_path.iterdir()) == []


def test_a_short_snapshot_is_judged_too(tmp_path: Path) -> None:
    snapshot, worker = incoming(tmp_path / "incoming", 3, check_head)
    with pytest.raises(SnapshotError, match="expects a SQLite database"):
        snapshot.add(b"abc")
    snapshot.discard()
    worker.run()


def test_a_disk_that_refuses_is_told_at_the_end(tmp_path: Path) -> None:
    snapshot, worker = incoming(tmp_path / "missing", 10)
    (tmp_path / "missing").mkdir()
    snapshot.add(b"0123456789")
    done = snapshot.finish()
    worker.run()
    assert snapshot.failure is not None
    errors: list[Failure] = []
    done.addErrback(errors.append)
    assert errors[0].check(EngineFailed)
    assert "cannot be written" in errors[0].getErrorMessage()


def test_a_file_without_a_name_lives_until_it_is_given_up(tmp_path: Path) -> None:
    worker: Any = HeldWorker()
    snapshot = IncomingSnapshot(worker, SnapshotPlace(tmp_path / "incoming", unnamed=True), 4, lambda head: None)
    snapshot.add(b"text")
    snapshot.finish()
    worker.run()
    assert list(tmp_path.iterdir()) == []
    assert snapshot.path.read_bytes() == b"text"
    assert snapshot.path.stat().st_mode & 0o777 == 0o600
    snapshot.discard()
    worker.run()
    assert not snapshot.path.exists()

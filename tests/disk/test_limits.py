"""What a master can make a copy take of its machine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spgrepl.disk.limits import ReplicaLimits
from spgrepl.errors import LimitReached
from spgrepl.replica.options import read_replica_limits


def test_a_snapshot_has_a_longest_length() -> None:
    limits = ReplicaLimits(snapshot_bytes=100)
    limits.check_snapshot(100)
    with pytest.raises(
        LimitReached, match=r"announces a snapshot of 101 bytes, and 100 are accepted \(--max-snapshot"
    ):
        limits.check_snapshot(101)


def test_room_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free: Any = SimpleNamespace(f_bavail=100, f_frsize=10)
    monkeypatch.setattr(os, "statvfs", lambda _: free)
    limits = ReplicaLimits(free_bytes=600)
    limits.check_room(tmp_path, 400)
    with pytest.raises(
        LimitReached, match="has 1000 bytes free: 401 bytes are to come, and 600 are left free on it"
    ):
        limits.check_room(tmp_path, 401)
    free.f_bavail = 59
    with pytest.raises(LimitReached, match="has 590 bytes free: 600 are left free on it"):
        limits.check_room(tmp_path)


def test_the_options() -> None:
    given = dict.fromkeys(
        ("max-snapshot-bytes", "min-free-bytes", "max-open-segment-bytes", "max-statement-seconds")
    )
    assert read_replica_limits(given) == ReplicaLimits()
    given |= {"max-snapshot-bytes": "1K", "min-free-bytes": "2K", "max-open-segment-bytes": "3K"}  # type: ignore[dict-item]
    assert read_replica_limits({**given, "max-statement-seconds": "4.5"}) == ReplicaLimits(1024, 2048, 3072, 4.5)

"""The `counting` target: a count and a digest that survive every crash with the position."""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from spgrepl.engines.targets.counting_target import CountingTarget, subscription_path
from spgrepl.errors import ConfigurationError, EngineFailed, LocalFilesDamaged
from spgrepl.interfaces.target import ITarget, SubscriptionState
from tests.replica.following.copies import quick_folder
from tests.replica.following.test_replay import files_no_longer_than
from tests.replica.subscribing.targets import STATE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counted.db"


def plain_digest(statements: list[bytes]) -> str:
    """The digest as it is documented."""
    digest = 0
    for statement in statements:
        digest = crc32(struct.pack("<I", len(statement)) + statement, digest)
    return f"{digest:08x}"


def test_it_is_a_target(path: Path) -> None:
    assert verifyObject(ITarget, CountingTarget(path))


def test_opening_changes_nothing(path: Path, tmp_path: Path) -> None:
    assert CountingTarget(path).open() is None
    assert list(tmp_path.iterdir()) == []


@given(
    batches=st.lists(st.lists(st.binary(max_size=20) | st.just(b"x" * 4096) | st.just(b"y" * 5000), max_size=5)),
    position=st.integers(0, 2**64 - 1),
)
def test_the_digest_is_the_documented_one_and_goes_on_behind_a_crash(
    batches: list[list[bytes]], position: int
) -> None:
    with quick_folder() as folder:
        CountingTarget(folder / "counted.db").start(STATE)
        state = STATE
        for batch in batches:
            target = CountingTarget(folder / "counted.db")
            assert target.open() == state
            target.begin()
            target.execute([b"of a batch that fails"], {})
            target.rollback()
            target.begin()
            target.execute(batch, {})
            state = attrs.evolve(STATE, position=position)
            target.commit(state)
            assert target.statistics()["statements"] == len(batch)
        target = CountingTarget(folder / "counted.db")
        assert target.open() == state
    every = [statement for batch in batches for statement in batch]
    assert target.statistics() == {"statements": 0, "skipped": 0, "digest": plain_digest(every)}


def test_skipped_records_are_counted_when_they_are_committed(path: Path) -> None:
    target = CountingTarget(path)
    target.start(STATE)
    for _ in range(2):
        target.begin()
        target.keep_skipped(7, b"r", b"s", "why")
        target.rollback()
    target.begin()
    target.keep_skipped(7, b"r", b"s", "why")
    target.commit(STATE)
    assert target.statistics() == {"statements": 0, "skipped": 1, "digest": "00000000"}


def test_a_copy_counts_no_rows_and_begins_anew(path: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(b"SPGENV01, or anything")
    target = CountingTarget(path)
    target.start(STATE)
    target.begin()
    target.execute([b"INSERT"], {})
    target.commit(STATE)
    target.check_snapshot_head(b"SPGENV01")
    assert target.copy_snapshot(snapshot, ["p"], 2**64 - 1) == SubscriptionState(("p",), 2**64 - 1, 2**64 - 1)
    target.close()
    again = CountingTarget(path)
    assert again.open() == SubscriptionState(("p",), 2**64 - 1, 2**64 - 1)
    assert again.statistics()["digest"] == "00000000"
    assert snapshot.exists()
    assert not path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"7", b"\xff", b'{"position": 1', b'{"publications": [1], "position": 1}']
)
def test_a_damaged_state_is_named(path: Path, content: bytes) -> None:
    subscription_path(path).write_bytes(content)
    with pytest.raises(LocalFilesDamaged, match=r"subscription\.json cannot be read"):
        CountingTarget(path).open()


def test_a_disk_that_refuses_leaves_the_old_state(path: Path) -> None:
    target = CountingTarget(path)
    target.start(STATE)
    target.begin()
    target.execute([b"INSERT"], {})
    with files_no_longer_than(10), pytest.raises(EngineFailed, match="cannot be written"):
        target.commit(attrs.evolve(STATE, position=900))
    target.rollback()
    assert CountingTarget(path).open() == STATE
    target.begin()
    target.commit(STATE)
    assert target.statistics() == {"statements": 0, "skipped": 0, "digest": "00000000"}


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    target = CountingTarget(tmp_path / "nowhere" / "counted.db")
    assert target.open() is None
    with pytest.raises(ConfigurationError, match="is not a folder"):
        target.start(STATE)

"""The fence: a different history is recognised, the same one never taken for another."""

from __future__ import annotations

import os
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import HistoryDiverged
from spgrepl.interfaces.engine import Fence, ReplayState
from spgrepl.pairs.fence import FENCE_SPAN, FenceCheck, FenceKeeper, crc_of_range
from tests.log.samples import cut, places
from tests.replica.following.copies import quick_folder

LOG = bytes(number * 7 % 251 for number in range(4000))


@given(
    lengths=st.lists(st.integers(4, 300), min_size=1, max_size=60),
    groups=st.lists(st.integers(1, 10), min_size=1, max_size=30),
    base=st.sampled_from([0, 1000]),
)
def test_a_fence_covers_whole_records_of_enough_bytes(lengths: list[int], groups: list[int], base: int) -> None:
    with quick_folder() as folder:
        path = folder / "log"
        path.write_bytes(LOG[: sum(lengths)] * 5)
        handle = os.open(path, os.O_RDONLY)
        try:
            keeper = FenceKeeper(ReplayState(base, base))
            starts: list[int] = []
            at = base
            left = list(lengths)
            for group in groups:
                new = []
                for length in left[:group]:
                    new.append(at)
                    at += length
                del left[:group]
                if not new:
                    break
                starts += new
                keeper.note(new, at)
                fence = keeper.fence(handle, at)
                # From 0 nothing can be asked for but a snapshot.
                usable = [max(1, start) for start in starts]
                assert fence is not None
                far_enough = [max(1, start) for start in starts if at - start >= FENCE_SPAN]
                assert fence.start == (far_enough[-1] if far_enough else usable[0])
                assert fence.crc == crc_of_range(handle, fence.start - base, at - base)
        finally:
            os.close(handle)


def test_the_crc_of_a_range(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LOG)
    handle = os.open(tmp_path / "log", os.O_RDONLY)
    assert crc_of_range(handle, 10, 3000) == crc32(LOG[10:3000])
    assert crc_of_range(handle, 10, 9000) == crc32(LOG[10:])
    os.close(handle)


def state_at(position: int, start: int) -> ReplayState:
    return ReplayState(position, 0, Fence(start, crc32(LOG[start:position])))


@given(marks=places, position=st.integers(2, 1000), start=st.integers(1, 999))
def test_what_stands_behind_the_fence_comes_through(marks: list[int], position: int, start: int) -> None:
    start = min(start, position - 1)
    check = FenceCheck(state_at(position, start))
    assert check.start == start
    assert b"".join(check.feed(piece) for piece in cut(LOG[start:], marks)) == LOG[position:]
    assert check.passed


@given(marks=places, wrong=st.integers(0, 599))
def test_one_other_byte_is_another_history(marks: list[int], wrong: int) -> None:
    other = bytearray(LOG)
    other[400 + wrong] ^= 1
    check = FenceCheck(state_at(1000, 400))
    with pytest.raises(HistoryDiverged, match=r"from position 400 to 1000 .*--on-divergence resnapshot"):
        b"".join(check.feed(piece) for piece in cut(bytes(other[400:]), marks))


def test_without_a_fence_everything_comes_through() -> None:
    check = FenceCheck(ReplayState(300, 300))
    assert (check.start, check.passed, check.feed(b"abc")) == (300, True, b"abc")

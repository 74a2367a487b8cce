"""The simulation: some courses of it, and that it finds what it is there for. More by ``python -m simulation``."""

from __future__ import annotations

import pytest

from simulation.bugs import BUGS
from simulation.course import course


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_nothing_breaks(seed: int) -> None:
    _, broken, happened = course(seed, 25, None)
    assert broken is None
    assert happened["write"]


def test_a_seed_decides_everything() -> None:
    assert course(5, 20, None) == course(5, 20, None)


@pytest.mark.parametrize("bug", ["position-apart", "part-of-a-record", "begin-ignored"])
def test_a_bug_is_found(bug: str) -> None:
    assert bug in BUGS
    assert any(course(seed, 20, bug)[1] is not None for seed in range(1, 6))

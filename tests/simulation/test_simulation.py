"""The simulation: some courses of it, and that it finds what it is there for. More by ``python -m simulation``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulation.bugs import BUGS
from simulation.course import course
from simulation.idle import count


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_nothing_breaks(seed: int) -> None:
    found = course(seed, 25, None)
    assert found.broken is None
    assert found.happened["write"]


@pytest.mark.parametrize("seed", [5, 8, 11])
def test_a_seed_decides_everything(seed: int) -> None:
    """Two followers that wait for one snapshot are told in the order in which they came, for one (seed 8)."""
    assert course(seed, 20, None) == course(seed, 20, None)


def test_no_order_of_hashes_decides_anything() -> None:
    """Each run has a process of its own, with hashes of its own."""
    command = [sys.executable, "-m", "simulation", "--seed", "13", "--actions", "20", "--twice"]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert "1 passed, 0 failed" in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize("bug", ["position-apart", "part-of-a-record", "begin-ignored"])
def test_a_bug_is_found(bug: str) -> None:
    assert bug in BUGS
    assert any(course(seed, 20, bug).broken is not None for seed in range(1, 6))


def test_a_master_serves_thousands_that_have_everything() -> None:
    found = count(2000, seconds=2.0)
    assert found.connections == 2000
    assert 0 < found.status_seconds < 1
    assert found.interval <= 1

"""One course of the simulation, in a process of its own."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections import Counter
from pathlib import Path

import attrs

from simulation.bugs import BUGS
from simulation.world import World


@attrs.frozen
class Course:
    """What came of a course.

    Attributes:
        seed: Its seed.
        broken: What broke; None for nothing.
        happened: How often what happened.
        trace: A checksum of how it went; see `World`.
    """

    seed: int
    broken: str | None
    happened: Counter[str]
    trace: int


def course(seed: int, actions: int, bug: str | None) -> Course:
    """Run one course."""
    with tempfile.TemporaryDirectory(prefix="spgrepl-simulation-", dir=_fast_folder()) as folder:
        world = World(seed, Path(folder), actions)
        broken = None
        try:
            with BUGS[bug]() if bug else BUGS[""]():
                world.run()
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            broken = traceback.format_exc()
        return Course(seed, broken, world.counts, world.trace)


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

"""One course of the simulation, in a process of its own."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections import Counter
from pathlib import Path

from simulation.bugs import BUGS
from simulation.world import World


def course(seed: int, actions: int, bug: str | None) -> tuple[int, str | None, Counter[str]]:
    """Run one course.

    Returns:
        The seed, what broke (None for nothing), and how often what happened.
    """
    with tempfile.TemporaryDirectory(prefix="spgrepl-simulation-", dir=_fast_folder()) as folder:
        world = World(seed, Path(folder), actions)
        try:
            with BUGS[bug]() if bug else BUGS[""]():
                world.run()
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            return seed, traceback.format_exc(), world.counts
        return seed, None, world.counts


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

"""``python -m simulation [--seeds N] [--first SEED] [--seed SEED]``: run courses of the simulation.

A seed that breaks an invariant is printed, and runs again in the same way with ``--seed``. ``--twice`` sees that
this is so: each course runs in two processes, whose hashes differ, and both must go the same way.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing import get_context
from typing import Any

from simulation.bugs import BUGS
from simulation.course import Course, course

_ACTIONS = 60

_TOLD_EVERY = 250
"""After so many courses a line says how far it is."""


class _Results:
    """What has come of the courses so far."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.counts = Counter[str]()

    def add(self, courses: Sequence[Course]) -> None:
        """Take what came of a seed, and say what broke."""
        first = courses[0]
        self.counts.update(first.happened)
        broken = first.broken
        if any(other != first for other in courses):
            broken = "two courses of this seed went different ways: " + " | ".join(map(str, courses))
        self.done += 1
        if broken is not None:
            self.failed += 1
            print(f"seed {first.seed}: {broken}", flush=True)
        if self.done % _TOLD_EVERY == 0:
            print(f"{self.done:,} courses, {self.failed} failed", file=sys.stderr, flush=True)


def main() -> int:
    """Run the courses that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many courses (default 200)")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first one's seed (default 1)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="run this one course alone")
    parser.add_argument("--actions", type=int, default=_ACTIONS, metavar="N", help="what happens in each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at a time")
    parser.add_argument("--seconds", type=float, default=1e9, metavar="S", help="begin none after so long")
    parser.add_argument("--twice", action="store_true", help="run each twice, and see that it goes the same way")
    parser.add_argument("--bug", choices=sorted(filter(None, BUGS)), help="put a bug in on purpose")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.seed is not None:
        seeds = range(arguments.seed, arguments.seed + 1)
    os.environ.pop(
        "PYTHONHASHSEED", None
    )  # each process has hashes of its own: no order of a set decides anything
    began, results, runs = time.monotonic(), _Results(), 2 if arguments.twice else 1
    # In processes of their own: what a broken course leaves behind does not touch many others.
    with get_context("spawn").Pool(arguments.jobs, maxtasksperchild=1 if arguments.twice else 50) as pool:
        waiting: deque[list[Any]] = deque()
        for seed in seeds:
            if time.monotonic() - began > arguments.seconds or (results.failed and arguments.bug):
                break
            asked = (seed, arguments.actions, arguments.bug)
            waiting.append([pool.apply_async(course, asked) for _ in range(runs)])
            if len(waiting) >= 2 * arguments.jobs:
                results.add([one.get() for one in waiting.popleft()])
        while waiting and not (results.failed and arguments.bug):
            results.add([one.get() for one in waiting.popleft()])
        pool.terminate()
    print(", ".join(f"{name} {count:,}" for name, count in sorted(results.counts.items())))
    seconds = time.monotonic() - began
    print(f"{results.done - results.failed} passed, {results.failed} failed in {seconds:.0f} s", flush=True)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())

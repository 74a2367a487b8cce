"""``python -m simulation [--seeds N] [--first SEED] [--seed SEED]``: run courses of the simulation.

The first seed that breaks an invariant is printed, and runs again in the same way with ``--seed``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter, deque
from multiprocessing import get_context
from typing import Any

from simulation.bugs import BUGS
from simulation.course import course

_ACTIONS = 60


def _tell(result: tuple[int, str | None, Counter[str]], counts: Counter[str]) -> int:
    """Add what happened in a course, and say what broke; returns how many broke."""
    seed, broken, happened = result
    counts.update(happened)
    if broken is None:
        return 0
    print(f"seed {seed}: {broken}", flush=True)
    return 1


def main() -> int:
    """Run the courses that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many courses (default 200)")
    parser.add_argument("--first", type=int, default=1, metavar="SEED", help="the first one's seed (default 1)")
    parser.add_argument("--seed", type=int, metavar="SEED", help="run this one course alone")
    parser.add_argument("--actions", type=int, default=_ACTIONS, metavar="N", help="what happens in each")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="how many at a time")
    parser.add_argument("--seconds", type=float, default=1e9, metavar="S", help="begin none after so long")
    parser.add_argument("--bug", choices=sorted(filter(None, BUGS)), help="put a bug in on purpose")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.seed is not None:
        seeds = range(arguments.seed, arguments.seed + 1)
    os.environ["PYTHONHASHSEED"] = "0"  # of the processes that are started: the order of sets is theirs
    began, done, failed, counts = time.monotonic(), 0, 0, Counter[str]()
    # In processes of their own: what a broken course leaves behind does not touch many others.
    with get_context("spawn").Pool(arguments.jobs, maxtasksperchild=50) as pool:
        waiting: deque[Any] = deque()
        for seed in seeds:
            if time.monotonic() - began > arguments.seconds or (failed and arguments.bug):
                break
            waiting.append(pool.apply_async(course, (seed, arguments.actions, arguments.bug)))
            if len(waiting) >= 2 * arguments.jobs:
                failed += _tell(waiting.popleft().get(), counts)
                done += 1
        while waiting and not (failed and arguments.bug):
            failed += _tell(waiting.popleft().get(), counts)
            done += 1
        pool.terminate()
    print(", ".join(f"{name} {count:,}" for name, count in sorted(counts.items())))
    print(f"{done - failed} passed, {failed} failed in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

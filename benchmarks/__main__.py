"""``python -m benchmarks [name …] [--json FILE]``: measure, print a table, write JSON.

The figures mean something on a machine that does nothing else: its load is printed and written with them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import attrs

from benchmarks import (
    catchup,
    fanout,
    latency,
    lzss,
    memory,
    owner,
    postgresql,
    scrape,
    segments,
    spg_snapshots,
    subscribers,
    writes,
)
from benchmarks.figures import Figure, machine, table
from spgrepl.errors import EXIT_USAGE


def _fanout() -> list[Figure]:
    return [Figure(**found) for found in fanout.measure()]


BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "catchup-sqlite": catchup.measure_sqlite,
    "catchup-counting": catchup.measure_counting,
    "latency": latency.measure,
    "memory": memory.measure,
    "lzss": lzss.measure,
    "segments": segments.measure,
    "segments-latency": segments.measure_latency,
    "fanout": _fanout,
    "owner": owner.measure,
    "postgresql": postgresql.measure,
    "scrape": scrape.measure,
    "subscribers": subscribers.measure,
    "spg-snapshots": spg_snapshots.measure,
    "writes": writes.measure,
}
"""All benchmarks by name."""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 when all targets are reached, else 1, 64 for wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help=f"what to measure: {', '.join(BENCHMARKS)} (all)")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path("benchmarks.json"),
        help="where to write them (%(default)s)",
    )
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.name if name not in BENCHMARKS]
    if unknown:
        print(f"benchmarks: no {unknown[0]!r}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return EXIT_USAGE
    described = machine()
    print(", ".join(f"{name} {value}" for name, value in described.items()), flush=True)
    figures: list[Figure] = []
    for name in arguments.name or BENCHMARKS:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures += BENCHMARKS[name]()
    print(table(figures))
    content = [attrs.asdict(figure) | {"reached": figure.reached} for figure in figures]
    arguments.json.write_text(json.dumps({"machine": described, "figures": content}, indent=1) + "\n")
    reached = sum(figure.reached for figure in figures)
    print(f"{reached} targets reached, {len(figures) - reached} missed")
    return 0 if reached == len(figures) else 1


if __name__ == "__main__":
    sys.exit(main())

"""What took how long, and how big it was: counted where it happens, read when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds for what takes time, in seconds: from an fsync of a fast disk to a batch that waits for a lock."""

BYTES = (256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0)
"""Upper bounds for sizes, in bytes."""


class Histogram:
    """Counts values by size.

    One thread counts, any thread may read: a reader may miss the value that is being counted, and nothing else.

    Args:
        bounds: The upper bounds of the classes, rising; what is above the last one is counted as well.

    Attributes:
        bounds: Those bounds.
        sum: The sum of all values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def time(self, call: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Make a call, and count the seconds that it takes, whether it returns or raises."""
        began = perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            self.observe(perf_counter() - began)

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self._counts)

    def cumulative(self) -> list[int]:
        """For each bound how many values are not above it; last, how many there are."""
        counted, total = [], 0
        for count in self._counts:
            total += count
            counted.append(total)
        return counted

"""How long to wait before a connection is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0


class Backoff:
    """Full-jitter exponential back-off: any time up to a bound that doubles from 0.5 s to 30 s.

    Full jitter spreads many followers of one master that fail together; see "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015.

    Args:
        uniform: Draws a number between two; `random.uniform` unless a test wants another.
    """

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._uniform = uniform
        self.failures = 0

    def failed(self) -> None:
        """Count one more failure in a row."""
        self.failures += 1

    def succeeded(self) -> None:
        """Begin again with the shortest delay."""
        self.failures = 0

    def delay(self) -> float:
        """How long to wait now, in seconds."""
        # The exponent is bounded: 2.0 ** 2000 would raise.
        bound = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(max(self.failures - 1, 0), 16))
        return self._uniform(0.0, bound)

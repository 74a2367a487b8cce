"""How long to wait before a connection is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from spgrepl.base.steady_clock import steady_clock

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0

STABLE_AFTER = 30.0
"""A stream that has lasted for so many seconds leaves all failures before it behind."""


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


class RetryPlan:
    """Says how long to wait before the next connection, by what became of those before.

    A divergence leads to a fresh snapshot, the dearest thing that a follower can ask for. The first one is asked
    for at once; where the history differs time after time, ever more rarely, whatever is applied meanwhile.

    Args:
        clock: The reactor, or a clock.
        uniform: Draws a number between two; `random.uniform` unless a test wants another.
    """

    def __init__(self, clock: IReactorTime, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._clock = steady_clock(clock)
        self._failures = Backoff(uniform)
        self._divergences = Backoff(uniform)
        self._next: Backoff | None = self._failures
        self._since: float | None = None
        self._longest = False
        self._streams = 0

    def failed(self) -> None:
        """A connection could not be made, or has ended."""
        self._since = None
        self._failures.failed()
        self._next = self._failures

    def refused_version(self) -> None:
        """The master does not know the version of the protocol; another one is tried at once."""
        self._since = None
        self._next = None

    def diverged(self) -> None:
        """The master's history is another one; a fresh snapshot is to be asked for."""
        self._since = None
        self._next = self._divergences if self._divergences.failures else None
        self._divergences.failed()

    def doubted(self) -> None:
        """A history that looks different is to be looked at once more."""
        self._since = None
        self._next = self._divergences if self._divergences.failures else None

    def at_once(self) -> None:
        """The connection was closed to make another one, which is to follow at once."""
        self._since = None
        self._next = None

    def hopeless(self) -> None:
        """Trying again will hardly help, so the longest pause comes first."""
        self._since = None
        self._longest = True

    def streaming(self) -> None:
        """A stream has begun."""
        self._streams += 1
        self._since = self._clock.seconds()

    def progressed(self) -> None:
        """Something new was applied."""
        self._failures.succeeded()

    @property
    def reconnects(self) -> int:
        """How often a stream has begun again."""
        return max(0, self._streams - 1)

    def is_stable(self) -> bool:
        """Whether the present stream has lasted long enough to forget all failures; it forgets them then."""
        if self._since is None or self._clock.seconds() - self._since < STABLE_AFTER:
            return False
        self._failures.succeeded()
        self._divergences.succeeded()
        return True

    def delay(self) -> float:
        """How long to wait now, in seconds."""
        chosen, self._next = self._next, self._failures
        if self._longest:
            self._longest = False
            return LONGEST_DELAY
        return 0.0 if chosen is None else chosen.delay()

"""The lag of the last ten minutes, a value a second, in little memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SPAN = 600
"""How many values are kept of each series."""

MOST_SERIES = 256
"""How many series are kept; those of further peers are left out."""


class History:
    """Keeps the last values of some series, all taken at the same moments.

    Args:
        span: How many values of each are kept.
    """

    def __init__(self, span: int = SPAN) -> None:
        self._span = span
        self._next = 0
        self._series: dict[str, array[float]] = {}

    def add(self, values: Mapping[str, float | None]) -> None:
        """Take a value of each series; one that is not there is unknown at this moment.

        A series of which nothing is known any more is given up.
        """
        for name in values:
            if name not in self._series and len(self._series) < MOST_SERIES:
                self._series[name] = array("d", [math.nan] * self._span)
        for name, kept in list(self._series.items()):
            value = values.get(name)
            kept[self._next] = math.nan if value is None else value
            if value is None and self._next == 0 and all(map(math.isnan, kept)):
                del self._series[name]
        self._next = (self._next + 1) % self._span

    def as_values(self) -> dict[str, list[float | None]]:
        """The series by name, the oldest value first, unknown ones as None."""
        return {
            name: [
                None if math.isnan(value) else round(value, 3)
                for value in (*kept[self._next :], *kept[: self._next])
            ]
            for name, kept in self._series.items()
        }


def lag_samples(statuses: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """The lags that statuses tell, by the names of their series.

    Returns:
        ``ROLE NAME:seconds`` and ``…:bytes`` for each role, which keep their names when other roles come and go,
        and ``…:peer:NAME`` for the bytes that wait for a peer: the most of them, where it has several connections.
    """
    found: dict[str, float | None] = {}
    for name, value in _lags(statuses):
        before = found.get(name)
        found[name] = value if before is None or value is None else max(before, value)
    return found


def _lags(statuses: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float | None]]:
    for status in statuses:
        key = f"{status['role']} {status.get('name') or ''}"
        if status["role"] != "master":
            yield f"{key}:seconds", status["lag"]["seconds"]
            yield f"{key}:bytes", status["lag"]["bytes"]
        for peer in status.get("peers") or ():
            if peer["lag_bytes"] is not None:
                yield f"{key}:peer:{peer.get('name') or peer['address']}", peer["lag_bytes"]

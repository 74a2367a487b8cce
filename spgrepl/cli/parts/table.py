"""The live table of ``spgrepl demo``: drawn in place on a terminal, line by line elsewhere."""

from __future__ import annotations

from typing import Any, TextIO

import attrs

_LINE = "{name:<10} {state:<14} {applied:>14} {source:>14} {bytes:>12} {seconds:>8} {rate:>9}"
_HEADINGS = {
    "name": "",
    "state": "state",
    "applied": "applied",
    "source": "master's log",
    "bytes": "lag, bytes",
    "seconds": "lag, s",
    "rate": "rows/s",
}
_PLAIN_EVERY = 1.0


@attrs.frozen
class Sample:
    """What one server said at one moment.

    Attributes:
        name: The server.
        moment: When, in seconds of the reactor's clock.
        status: Its ``/status``; None where it did not answer.
    """

    name: str
    moment: float
    status: dict[str, Any] | None


class Table:
    """Shows events and samples.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._drawn: list[str] = []
        self._began: float | None = None
        self._plain_at = 0.0
        self._before: dict[str, tuple[float, int]] = {}

    def event(self, text: str) -> None:
        """Say something that stays above the table."""
        self._erase()
        self._print([text, *self._drawn] if self._live else [text])

    def show(self, samples: list[Sample], written: int) -> None:
        """Show where the servers stand.

        Args:
            samples: One for each server, taken about the same time.
            written: How many rows were written at the master so far.
        """
        now = samples[0].moment
        if self._began is None:
            self._began = now
        rows = [self._row(sample, written) for sample in samples]
        if self._live:
            self._erase()
            self._drawn = [_LINE.format(**_HEADINGS), *(_LINE.format(**row) for row in rows)]
            self._print(self._drawn)
        elif now >= self._plain_at:
            self._plain_at = now + _PLAIN_EVERY
            said = "; ".join(
                f"{row['name']} {row['state']} at {row['applied']}, lag {row['bytes']} bytes, {row['rate']} rows/s"
                for row in rows
            )
            self._print([f"{now - self._began:5.1f} s  {said}"])

    def _row(self, sample: Sample, written: int) -> dict[str, str]:
        status = sample.status
        if status is None:
            self._before.pop(sample.name, None)
            return {**dict.fromkeys(_HEADINGS, "-"), "name": sample.name, "state": "not there"}
        lag, positions = status["lag"], status["positions"]
        count = written if sample.name == "master" else status["statements"] or 0
        return {
            "name": sample.name,
            "state": status["state"],
            "applied": _number(positions["applied"]),
            "source": _number(positions["source"]),
            "bytes": _number(lag["bytes"]),
            "seconds": "-" if lag["seconds"] is None else f"{lag['seconds']:.2f}",
            "rate": self._rate(sample, count),
        }

    def _rate(self, sample: Sample, count: int) -> str:
        then, before = self._before.get(sample.name, (sample.moment, 0))
        self._before[sample.name] = (sample.moment, count)
        passed = sample.moment - then
        return "-" if passed <= 0 else f"{max(0, count - before) / passed:,.0f}"

    def _erase(self) -> None:
        if self._live and self._drawn:
            self._stream.write(f"\x1b[{len(self._drawn)}A\x1b[J")

    def _print(self, lines: list[str]) -> None:
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"

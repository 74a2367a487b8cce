"""A figure, its yardstick and its target: as values, as a table, and beside the machine they were taken on."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

_TARGET = re.compile(r"(value )?(>=|<=|<|>) ([0-9.]+)( .+)?")


def _judged(figure: Figure, _: attrs.Attribute[str], target: str) -> None:
    if _TARGET.fullmatch(target) is None:
        raise ValueError(f"{figure.name}: {target!r} is not a target")


@attrs.frozen
class Figure:
    """One measured figure.

    Attributes:
        name: What was measured.
        value: The median of all runs, unless the note says otherwise.
        unit: Of `value`, and of `yardstick_value` where that measures the same.
        yardstick: What it is compared with, measured in the same run; or ``limit``.
        yardstick_value: The yardstick's, likewise.
        ratio: `value` by `yardstick_value`.
        target: What is to be reached: ``>= 0.8`` is about the ratio; ``value <= 5`` and ``< 3 ms`` are about the
            value.
        samples: The single runs that `value` is the median of, where there were several.
        yardstick_samples: Those of the yardstick.
        note: What has to be known to read it.
    """

    name: str
    value: float
    unit: str
    yardstick: str
    yardstick_value: float
    ratio: float
    target: str = attrs.field(validator=_judged)
    samples: Sequence[float] = ()
    yardstick_samples: Sequence[float] = ()
    note: str = ""

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        found = _TARGET.fullmatch(self.target)
        assert found is not None
        about_value, sign, bound = found[1] or found[4], found[2], float(found[3])
        value = self.value if about_value else self.ratio
        return {">=": value >= bound, "<=": value <= bound, "<": value < bound, ">": value > bound}[sign]


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(figures: Sequence[Figure]) -> str:
    """The figures in columns."""
    heads = ("figure", "value", "yardstick", "", "ratio", "target", "")
    rows = [
        (
            figure.name,
            f"{_number(figure.value)} {figure.unit}",
            _number(figure.yardstick_value),
            figure.yardstick,
            f"{figure.ratio:.3f}",
            figure.target,
            "reached" if figure.reached else "MISSED",
        )
        for figure in figures
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [heads, *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)

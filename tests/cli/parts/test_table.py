"""The live table of the demonstration."""

from __future__ import annotations

import io
from typing import Any

from spgrepl.cli.parts.table import Sample, Table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def status(applied: int | None, statements: int | None, seconds: float | None = 0.5) -> dict[str, Any]:
    return {
        "state": "streaming",
        "positions": {"applied": applied, "source": 12_345},
        "lag": {"bytes": 7, "seconds": seconds},
        "statements": statements,
    }


def test_on_a_terminal_it_is_drawn_in_place_under_what_was_said() -> None:
    stream = Terminal()
    table = Table(stream)
    table.show([Sample("copy", 10.0, status(1_000, 0)), Sample("gone", 10.0, None)], 0)
    first = stream.getvalue()
    assert first.count("\n") == 3
    assert "1,000" in first
    assert "not there" in first
    table.event("killed")
    assert stream.getvalue()[len(first) :] == "\x1b[3A\x1b[J" + "killed\n" + first


def test_elsewhere_a_line_a_second() -> None:
    stream = io.StringIO()
    table = Table(stream)
    for moment in (10.0, 10.5, 11.0):
        table.show([Sample("copy", moment, status(None, 0, None))], 0)
    table.event("killed")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "  0.0 s  copy streaming at -, lag 7 bytes, - rows/s",
        "  1.0 s  copy streaming at -, lag 7 bytes, 0 rows/s",
        "killed",
    ]


def test_the_rate_is_that_since_the_sample_before() -> None:
    stream = io.StringIO()
    table = Table(stream)
    table.show([Sample("copy", 10.0, status(1, 100)), Sample("master", 10.0, status(1, None))], 1000)
    table.show([Sample("copy", 12.0, status(1, 300)), Sample("master", 12.0, status(1, None))], 4000)
    table.show([Sample("copy", 14.0, None)], 4000)
    table.show([Sample("copy", 16.0, status(1, 900))], 4000)
    rates = [
        part.split(" rows/s")[0].rpartition(" ")[2] for part in stream.getvalue().split(",") if "rows/s" in part
    ]
    assert "100" in rates
    assert "1,500 rows/s" in stream.getvalue()
    assert stream.getvalue().splitlines()[-1].endswith("- rows/s")

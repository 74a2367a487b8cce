"""How far a statement is, told on a terminal."""

from __future__ import annotations

import io

import pytest

from spgrepl.cli.parts import progress
from spgrepl.cli.parts.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_nobody_looks_at_a_file() -> None:
    assert not Progress(io.StringIO()).wanted
    assert Progress(Terminal()).wanted


def test_it_is_shown_after_a_while_and_now_and_then(clock: Clock) -> None:
    stream = Terminal()
    shown = Progress(stream)
    for moment, rows in ((0.5, 10), (1.1, 1_000), (1.2, 2_000), (1.4, 90), (1.5, 0)):
        clock.now = moment
        shown(rows)
    assert stream.getvalue() == "\r1,000 rows changed\r90 rows changed   "


def test_it_is_taken_back(clock: Clock) -> None:
    stream = Terminal()
    shown = Progress(stream)
    shown.clear()
    assert stream.getvalue() == ""
    clock.now = 2
    shown(7)
    shown.clear()
    assert stream.getvalue() == "\r7 rows changed\r" + " " * len("7 rows changed") + "\r"
    clock.now = 2.5
    shown(8)
    assert "8 rows" not in stream.getvalue()

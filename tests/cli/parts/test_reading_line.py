"""How far a command has come: on a terminal, and elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from spgrepl.cli.parts.reading_line import ReadingLine, RowsLine


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Steps:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_done_within_two_seconds_says_nothing() -> None:
    stream, clock = Terminal(), Steps()
    line = ReadingLine(100, stream, clock)
    for now in (0.5, 1.9):
        clock.now = now
        line(50)
    line.clear()
    assert stream.getvalue() == ""


def test_a_terminal_shows_bytes_rows_rate_and_the_time_left_in_one_line() -> None:
    stream, clock = Terminal(), Steps()
    line = ReadingLine(400_000_000, stream, clock)
    clock.now = 2.0
    line(100_000_000, 5000, "notes")
    assert stream.getvalue() == (
        "\r\x1b[K 25 %  100 of 400 MB  50.0 MB/s  5,000 rows  2,500 rows/s  6 s left  notes"
    )
    clock.now = 2.1
    line(101_000_000)
    clock.now = 2.3
    line(102_000_000)
    assert stream.getvalue().count("\r") == 2
    line.clear()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_elsewhere_there_is_a_plain_line_now_and_then() -> None:
    stream, clock = io.StringIO(), Steps()
    line = ReadingLine(8_000_000_000, stream, clock)
    for now in range(1, 31):
        clock.now = float(now)
        line(now * 1_000_000)
    line.clear()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "  0 %  2 of 8,000 MB  1.0 MB/s  2.2 h left"
    assert "\x1b" not in stream.getvalue()


def test_nothing_was_read_yet() -> None:
    stream, clock = io.StringIO(), Steps()
    line = ReadingLine(0, stream, clock)
    clock.now = 3.0
    line(0)
    assert stream.getvalue() == "  0 %  0 of 0 MB  0.0 MB/s\n"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_nobody_knows_the_end_of(stream: Callable[[], io.StringIO]) -> None:
    told, clock = stream(), Steps()
    line = ReadingLine(0, told, clock)
    line.waiting("SQLite checks 2 tables")
    assert told.getvalue() == ""
    clock.now = 3.0
    line.waiting("SQLite checks 2 tables")
    line.waiting("SQLite checks 2 tables")
    assert told.getvalue().strip("\r\n").removeprefix("\x1b[K") == "SQLite checks 2 tables: 3 s so far"
    line.clear()


def test_rows_of_all_rows_are_a_share_of_the_bytes() -> None:
    stream, clock = Terminal(), Steps()
    line = RowsLine(40_000_000, stream, clock)
    clock.now = 4.0
    line.tell(250_000, 1_000_000, "t")
    assert " 25 %  10 of 40 MB  2.5 MB/s  250,000 rows  62,500 rows/s  12 s left  table t" in stream.getvalue()


def test_rows_of_a_server_whose_bytes_nobody_knows_are_a_share_themselves() -> None:
    stream, clock = io.StringIO(), Steps()
    line = RowsLine(0, stream, clock)
    clock.now = 4.0
    line.tell(250_000, 1_000_000, "t")
    assert stream.getvalue() == " 25 %  250,000 rows  62,500 rows/s  12 s left  table t\n"

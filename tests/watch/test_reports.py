"""What is logged of the connections to a master."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.logger import LogEvent, Logger, formatEvent

from spgrepl.errors import EngineFailed, PeerClosed, ReplayStopped
from spgrepl.text.log_words import SqlInLogs, for_log, sql_for_log, without_values
from spgrepl.watch.reports import Reports


class Log:
    """Reports, and the lines that they wrote."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []
        observer: Any = self.events.append
        self.reports = Reports(Logger("test", observer=observer))
        self.reports.call("follower", "copy", "10.0.0.1:7433")

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def with_sql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlInLogs, "allowed", True)


def test_an_event_is_a_line_with_all_that_is_needed(log: Log) -> None:
    log.reports.failed(PeerClosed("the master has gone"), 123)
    assert log.lines == ["follower copy: no stream from 10.0.0.1:7433, position 123: the master has gone"]
    (event,) = log.events
    fields = {name: event[name] for name in ("role", "name", "peer", "position", "reason", "kind", "times")}
    assert fields == {
        "role": "follower",
        "name": "copy",
        "peer": "10.0.0.1:7433",
        "position": 123,
        "reason": "the master has gone",
        "kind": "peer_closed",
        "times": 1,
    }


def test_a_position_that_is_not_known_is_not_told(log: Log) -> None:
    log.reports.failed(PeerClosed("nobody is there"), None)
    assert log.lines == ["follower copy: no stream from 10.0.0.1:7433: nobody is there"]


def test_repeats_are_counted_and_told_when_there_are_ten_times_as_many(log: Log) -> None:
    for number in range(1000):
        log.reports.failed(PeerClosed(f"no answer after {number} s"), 1)
    assert [line.rpartition(" s")[2] for line in log.lines] == ["", " (10 times)", " (100 times)", " (1000 times)"]


def test_another_failure_is_another_event(log: Log) -> None:
    for error in (PeerClosed("a"), EngineFailed("a"), PeerClosed("a")):
        log.reports.failed(error, None)
    assert len(log.lines) == 3


def test_a_stream_that_begins_again_says_after_how_many_failures(log: Log) -> None:
    log.reports.streams(5)
    for _ in range(3):
        log.reports.failed(PeerClosed("a"), 5)
    log.reports.streams(7)
    assert log.lines[0] == "follower copy: streaming from 10.0.0.1:7433, position 5"
    assert log.lines[-1] == "follower copy: streaming from 10.0.0.1:7433, position 7, after 3 failures"


def test_a_stream_that_begins_and_fails_again_without_progress_is_a_repeat(log: Log) -> None:
    """As at a record that is refused: the stream begins with each attempt, and comes no further."""
    log.reports.streams(5)
    for _ in range(12):
        log.reports.failed(PeerClosed("a"), 5)
        log.reports.streams(5)
    assert [line.rpartition(": ")[2] for line in log.lines] == [
        "streaming from 10.0.0.1:7433, position 5",
        "a",
        "streaming from 10.0.0.1:7433, position 5, after 1 failure",
        "a (10 times)",
    ]
    log.reports.goes_on(9)
    assert log.lines[-1] == "follower copy: streaming from 10.0.0.1:7433, position 9, after 12 failures"
    log.reports.goes_on(10)
    log.reports.failed(PeerClosed("a"), 10)
    assert len(log.lines) == 6
    assert log.lines[-1].endswith("position 10: a")


def test_a_failure_after_a_stream_that_has_lasted_is_an_event_of_its_own(log: Log) -> None:
    """An idle copy, whose master is started again once a day."""
    for _ in range(3):
        log.reports.failed(PeerClosed("a"), 5)
        log.reports.streams(5)
        log.reports.goes_on(5)
    assert len(log.lines) == 6


def test_progress_between_two_failures_makes_them_two(log: Log) -> None:
    for position in (5, 6):
        log.reports.failed(PeerClosed("a"), position)
        log.reports.streams(position)
    assert len(log.lines) == 4


REFUSED = ReplayStopped(400, 0xABCD, "INSERT INTO t(a)VALUES('secret')", "no row a='secret', b=17 of \"t\"")


def test_neither_sql_nor_values_are_logged(log: Log) -> None:
    log.reports.failed(REFUSED, 400)
    (line,) = log.lines
    assert "secret" not in line
    assert "17" not in line
    assert "position 400, CRC 0000abcd" in line
    assert "--skip-at 400 --skip-crc 0000abcd" in line
    assert "secret" not in sql_for_log("INSERT INTO t(a)VALUES('secret')")
    assert without_values("Key (id)=(7, x'ff', 'it''s') exists") == "Key (id)… exists"


@pytest.mark.usefixtures("with_sql")
def test_unless_an_operator_wants_them() -> None:
    assert for_log(REFUSED) == str(REFUSED)
    assert "secret" in for_log(REFUSED)
    assert sql_for_log(b"SELECT 'secret'") == "\"SELECT 'secret'\""
    assert without_values("a=5") == "a=5"

"""Failures that nobody foresaw, and how they are told."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import LogEvent, Logger
from twisted.python.failure import Failure

from spgrepl.base.failures import named_error
from spgrepl.errors import EngineFailed, ServiceStopped, SpgReplError


def named(error: Exception) -> tuple[SpgReplError, int]:
    events: list[LogEvent] = []
    return named_error(Failure(error), Logger(observer=events.append)), len(events)


def test_an_error_of_ours_is_what_it_is() -> None:
    error = EngineFailed("the disk is full")
    assert named(error) == (error, 0)


def test_what_the_system_says_of_a_file_names_it(tmp_path: Path) -> None:
    try:
        (tmp_path / "none").open()
    except OSError as error:
        found, logged = named(error)
    assert f"{tmp_path}/none cannot be used" in str(found)
    assert logged == 0


def test_what_nobody_foresaw_is_logged_whole() -> None:
    found, logged = named(ZeroDivisionError("a bug"))
    assert isinstance(found, ServiceStopped)
    assert "unexpected error" in str(found)
    assert "a bug" in str(found)
    assert logged == 1

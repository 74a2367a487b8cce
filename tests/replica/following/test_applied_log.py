"""A follower's own log as its followers may see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from spgrepl.errors import ConfigurationError, LogTruncated
from spgrepl.log.source import ILogListener, ILogSource
from spgrepl.replica.following.applied_log import AppliedLog


@implementer(ILogListener)
class Listener:
    def __init__(self) -> None:
        self.told: list[object] = []

    def log_grew(self, length: int) -> None:
        self.told.append(length)

    def log_lost(self, reason: LogTruncated) -> None:
        self.told.append(type(reason))


@pytest.fixture
def log(tmp_path: Path) -> AppliedLog:
    (tmp_path / "copy.wal").write_bytes(b"abcdef")
    return AppliedLog(tmp_path / "copy.wal")


def test_only_what_is_applied_is_published(log: AppliedLog) -> None:
    assert verifyObject(ILogSource, log)
    listener = Listener()
    log.add_listener(listener)
    assert log.length == 0
    log.publish(3)
    log.publish(3)
    log.publish(2)
    assert (log.length, listener.told) == (3, [3])
    assert os.pread(log.fileno(), log.length, 0) == b"abc"
    log.remove_listener(listener)
    log.remove_listener(listener)
    log.publish(6)
    assert listener.told == [3]
    log.close()


def test_a_log_that_begins_anew_is_another_file(log: AppliedLog) -> None:
    listener = Listener()
    log.add_listener(listener)
    log.publish(6)
    before = log.fileno()
    assert log.fileno() == before
    fresh = log.path.with_name("fresh")
    fresh.write_bytes(b"xyz")
    fresh.rename(log.path)
    log.restart()
    assert listener.told == [6, LogTruncated]
    assert log.length == 0
    log.publish(2)
    assert os.pread(log.fileno(), 2, 0) == b"xy"
    log.close()
    log.close()


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        AppliedLog(tmp_path / "none").fileno()


def test_a_listener_may_leave_when_it_is_told(log: AppliedLog) -> None:
    class Leaving(Listener):
        def log_grew(self, length: int) -> None:
            super().log_grew(length)
            log.remove_listener(self)

    listeners = [Leaving(), Listener()]
    for listener in listeners:
        log.add_listener(listener)
    log.publish(1)
    log.publish(2)
    assert [listener.told for listener in listeners] == [[1], [1, 2]]


def test_it_is_known_once_there_is_a_copy_and_not_while_that_is_replaced(log: AppliedLog) -> None:
    listener = Listener()
    log.add_listener(listener)
    assert not log.known
    log.publish(0)
    assert (log.known, listener.told) == (True, [0])
    log.publish(3)
    log.hold()
    assert (log.known, log.length) == (False, 3)
    log.publish(3)
    assert (log.known, log.length, listener.told) == (True, 3, [0, 3, 3])
    log.close()
    assert not log.known

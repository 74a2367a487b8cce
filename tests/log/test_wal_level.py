"""The WAL level, and those who are told of it."""

from __future__ import annotations

import pytest

from spgrepl.errors import UsageError
from spgrepl.log.wal_level import Level, WalLevel
from tests.conftest import LoggedFailures


def test_it_begins_as_replica() -> None:
    assert WalLevel().value is Level.REPLICA
    assert WalLevel("logical").value == "logical"


def test_listeners_are_told_of_changes_only() -> None:
    level, told = WalLevel(), list[Level]()
    level.add_listener(told.append)
    level.set("replica")
    level.set(Level.LOGICAL)
    level.set("LOGICAL")
    assert told == [Level.LOGICAL]
    level.remove_listener(told.append)
    level.remove_listener(told.append)
    level.set("replica")
    assert (told, level.value) == ([Level.LOGICAL], Level.REPLICA)


def test_a_listener_may_leave_while_it_is_told() -> None:
    level, told = WalLevel(), list[str]()

    def once(value: Level) -> None:
        told.append(value)
        level.remove_listener(once)

    level.add_listener(once)
    level.add_listener(told.append)
    level.set("logical")
    level.set("replica")
    assert told == ["logical", "logical", "replica"]


def test_a_listener_that_fails_harms_nobody(logged_failures: LoggedFailures) -> None:
    level, told = WalLevel(), list[Level]()
    level.add_listener(lambda _: 1 / 0)
    level.add_listener(told.append)
    level.set("logical")
    assert told == [Level.LOGICAL]
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


@pytest.mark.parametrize("text", ["", "minimal", "logical "])
def test_what_is_no_level(text: str) -> None:
    level = WalLevel()
    with pytest.raises(UsageError, match="there are replica and logical"):
        level.set(text)
    assert level.value is Level.REPLICA


# -- after a restart --------------------------------------------------------------------------------------------


def test_what_was_left_holds_where_nothing_was_chosen() -> None:
    left = WalLevel()
    left.restore(Level.LOGICAL)
    assert left.is_logical
    for chosen in (WalLevel("replica"), WalLevel()):
        chosen.set("replica")
        chosen.restore(Level.LOGICAL)
        assert not chosen.is_logical

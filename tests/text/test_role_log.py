"""Whose line of the log it is."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import pytest
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from spgrepl.text import role_log
from spgrepl.text.role_log import RoleLogger, Speaker, began, ended, speak_for, speaking


class Part:
    """A part of a role, which logs something."""

    _log = RoleLogger()

    def say(self, text: str, **values: object) -> None:
        self._log.info(text, **values)


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    found: list[LogEvent] = []
    observer = found.append
    globalLogPublisher.addObserver(observer)  # type: ignore[arg-type]
    yield found
    globalLogPublisher.removeObserver(observer)  # type: ignore[arg-type]


def test_a_part_says_whose_it_is(events: list[LogEvent]) -> None:
    part = Part()
    speak_for(Speaker("master", "notes {0}"), part, None)
    part.say("no snapshot: {reason}", reason="full", name="s")
    assert formatEvent(events[-1]) == "master notes {0}: no snapshot: full"
    assert {name: events[-1][name] for name in ("role", "role_name", "name", "reason")} == {
        "role": "master",
        "role_name": "notes {0}",
        "name": "s",
        "reason": "full",
    }
    part.say("it goes on")
    assert events[-1]["name"] == "notes {0}"


def test_the_only_role_of_a_process_says_everything(
    events: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A test that failed may have left a role running.
    monkeypatch.setattr(role_log, "_running", WeakKeyDictionary())
    one, other, part = Part(), Part(), Part()
    began(one, Speaker("follower", "a"))
    part.say("x")
    began(other, Speaker("follower", "b"))
    part.say("x")
    ended(other)
    part.say("x")
    ended(one)
    part.say("x")
    assert [formatEvent(event) for event in events] == ["follower a: x", "x", "follower a: x", "x"]


def test_an_event_that_names_its_role_stays_as_it_is(events: list[LogEvent]) -> None:
    part = Part()
    speak_for(Speaker("master", "m"), part)
    part.say("{role} {name}: x", role="follower", name="f")
    assert formatEvent(events[-1]) == "follower f: x"


def test_what_is_called_for_a_role_says_so(events: list[LogEvent]) -> None:
    """Functions have no attributes, and a worker's calls are made in its thread."""
    with speaking(Speaker("follower", "copy")):
        RoleLogger("functions").info("here")
        with speaking(None):
            RoleLogger("functions").info("inside")
    RoleLogger("functions").info("after")
    assert [formatEvent(event) for event in events[-3:]] == [
        "follower copy: here",
        "follower copy: inside",
        "after",
    ]

"""The publications that a master does not know."""

from __future__ import annotations

from twisted.logger import LogEvent, globalLogPublisher

from spgrepl.replica.subscribing.unknown_publications import UnknownPublications


def lines_of(unknown: UnknownPublications, *names: tuple[str, ...] | None) -> list[str]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    try:
        for one in names:
            unknown.told(one)
    finally:
        globalLogPublisher.removeObserver(events.append)
    return [event["log_format"].format(**event) for event in events]


def test_what_changes_is_logged_once() -> None:
    unknown = UnknownPublications()
    first, second, third = lines_of(unknown, (), None, ("a", "b"), ("a", "b"), None, ("b",), ())
    assert "does not know the publications a, b" in first
    assert "does not know the publications b" in second
    assert "knows all publications that are asked for again" in third
    assert unknown.names == ()


def test_another_connection_has_said_nothing_yet() -> None:
    unknown = UnknownPublications()
    unknown.told(("a\n",))
    assert unknown.shown == ("a\\n",)
    unknown.forget()
    assert unknown.names == ()
    assert len(lines_of(unknown, ("a\n",))) == 1

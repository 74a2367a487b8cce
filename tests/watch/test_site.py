"""The page and what it asks for, over connections in memory; in a browser it is tested in tests/end_to_end."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from spgrepl.server.status.resource import build_site
from spgrepl.watch.events import MOST_PAGES, PATIENCE
from spgrepl.watch.metrics import Watched
from spgrepl.watch.site import SiteWatch
from tests.conftest import LoggedFailures
from tests.watch.statuses import follower


class Site:
    """A site of a follower on a clock of its own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.status: dict[str, Any] = follower()
        self.watch = SiteWatch(self.clock, [Watched(lambda: self.status)], wall_clock=lambda: 1000.0)
        self.site = build_site(self.clock, dict, lambda *_: Deferred(), watch=self.watch)
        self.protocols: dict[StringTransport, Any] = {}

    def ask(self, path: str, method: str = "GET", version: str = "1.0") -> StringTransport:
        protocol, transport = self.site.buildProtocol(None), StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        self.protocols[transport] = protocol
        return transport

    def leave(self, transport: StringTransport) -> None:
        self.protocols[transport].connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def site() -> Site:
    return Site()


def events(transport: StringTransport) -> list[Any]:
    found = re.findall(rb"data: (.*)\n\n", transport.value())
    return [json.loads(one) for one in found]


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js"])
def test_the_page_loads_nothing_from_elsewhere(site: Site, path: str) -> None:
    head, body = site.ask(path).value().split(b"\r\n\r\n", 1)
    assert b"200 OK" in head
    assert b"default-src 'none'" in head
    assert b"frame-ancestors 'none'" in head
    named = set(re.findall(rb"https?://[^\s'\"]+", body))
    assert named <= {b"http://www.w3.org/2000/svg"}  # the name of a namespace, which nobody fetches


def test_an_open_page_gets_the_status_at_once_and_every_second(site: Site) -> None:
    transport = site.ask("/events")
    assert b"text/event-stream" in transport.value()
    (first,) = events(transport)
    assert first["now"] == 1000.0
    assert first["roles"] == [site.status]
    assert first["samples"] == {"follower copy.db:seconds": 0.25, "follower copy.db:bytes": 20}
    site.status = follower(state="silent")
    site.clock.pump([1.0, 1.0])
    assert [one["roles"][0]["state"] for one in events(transport)[1:]] == ["silent", "silent"]


def test_nothing_happens_while_nobody_looks(site: Site) -> None:
    assert site.clock.getDelayedCalls() == []
    transport = site.ask("/events")
    assert site.clock.getDelayedCalls()
    site.leave(transport)
    site.clock.pump([1.0])
    assert [call for call in site.clock.getDelayedCalls() if "Beat" in str(call) or "Looping" in str(call)] == []


def test_a_page_that_takes_nothing_is_skipped_and_then_given_up(site: Site) -> None:
    transport = site.ask("/events")
    producer: Any = transport.producer
    producer.pauseProducing()
    site.clock.pump([1.0] * 5)
    assert len(events(transport)) == 1
    producer.resumeProducing()
    site.clock.pump([1.0])
    assert len(events(transport)) == 2
    producer.pauseProducing()
    site.clock.pump([1.0] * (int(PATIENCE) + 2))
    assert transport.disconnected or transport.disconnecting


def test_the_number_of_pages_is_bounded(site: Site) -> None:
    pages = [site.ask("/events") for _ in range(MOST_PAGES)]
    assert b"503" in site.ask("/events").value()
    site.leave(pages[0])
    assert b"200 OK" in site.ask("/events").value()


def test_the_history_is_kept_from_the_start_on(site: Site) -> None:
    site.watch.start()
    site.clock.pump([1.0] * 3)
    found = json.loads(site.ask("/history").value().split(b"\r\n\r\n", 1)[1])
    assert found["every"] == 1.0
    assert found["series"]["follower copy.db:seconds"][-3:] == [0.25] * 3
    assert found["series"]["follower copy.db:seconds"][0] is None
    site.watch.stop()


def test_the_end_closes_the_connections_of_pages(site: Site) -> None:
    site.watch.start()
    transport = site.ask("/events")
    site.watch.stop()
    assert transport.disconnected or transport.disconnecting


def test_a_status_that_fails_is_logged_and_asked_for_again(site: Site, logged_failures: LoggedFailures) -> None:
    site.watch.start()
    transport = site.ask("/events")
    good, site.status = site.status, {"role": "follower"}
    site.clock.pump([1.0])
    assert logged_failures.flush(KeyError)
    site.status = good
    site.clock.pump([1.0])
    assert len(events(transport)) == 2
    site.watch.stop()

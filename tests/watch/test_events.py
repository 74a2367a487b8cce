"""The status, pushed to pages that are open."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

from spgrepl.watch.events import MOST_PAGES, PATIENCE, Events, encode_event


class Page(DummyRequest):
    """A request of a page, and whether its connection was closed."""

    def __init__(self, method: bytes = b"GET") -> None:
        super().__init__([b"events"])
        self.method = method
        self.producer: Any = None
        self.aborted = 0
        self.channel: Any = self

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def forceAbortClient(self) -> None:
        self.aborted += 1

    def leave(self) -> None:
        self.processingFailed(Failure(ConnectionDone()))


class Kit:
    def __init__(self) -> None:
        self.clock = Clock()
        self.changes: list[int] = []
        self.events = Events(self.clock, lambda: b"first", lambda: self.changes.append(len(self.events)))

    def page(self) -> Page:
        page = Page()
        assert self.events.render(page) is NOT_DONE_YET
        return page


@pytest.fixture
def kit() -> Kit:
    return Kit()


def test_a_page_gets_the_status_at_once_and_then_each_change(kit: Kit) -> None:
    first = kit.page()
    kit.events.send(b"second")
    second = kit.page()
    kit.events.send(b"third")
    assert (first.written, second.written) == ([b"first", b"second", b"third"], [b"first", b"third"])
    assert first.responseHeaders.getRawHeaders("cache-control") == ["no-store"]


def test_the_first_that_comes_and_the_last_that_goes_are_told(kit: Kit) -> None:
    pages = [kit.page() for _ in range(3)]
    for page in pages:
        page.leave()
    assert (kit.changes, len(kit.events)) == ([1, 0], 0)
    kit.events.send(b"nobody")


def test_a_page_that_takes_nothing_is_given_up(kit: Kit) -> None:
    page = kit.page()
    page.producer.pauseProducing()
    kit.clock.advance(PATIENCE)
    page.producer.pauseProducing()
    kit.events.send(b"late")
    assert (page.written, page.aborted) == ([b"first"], 0)
    kit.clock.advance(0.1)
    kit.events.send(b"later")
    assert page.aborted == 1


def test_one_that_takes_more_again_gets_the_newest(kit: Kit) -> None:
    page = kit.page()
    page.producer.pauseProducing()
    kit.events.send(b"left out")
    kit.clock.advance(PATIENCE + 1)
    page.producer.resumeProducing()
    kit.events.send(b"newest")
    assert (page.written, page.aborted) == ([b"first", b"newest"], 0)


def test_one_page_too_many_is_answered_503(kit: Kit) -> None:
    pages = [kit.page() for _ in range(MOST_PAGES)]
    late = Page()
    assert kit.events.render(late) == b"%d pages are open already\n" % MOST_PAGES
    assert late.responseCode == 503
    pages[0].leave()
    kit.page()


def test_head_opens_no_page(kit: Kit) -> None:
    page = Page(b"HEAD")
    assert kit.events.render(page) == b""
    assert (len(kit.events), kit.changes) == (0, [])


def test_all_end_with_the_role(kit: Kit) -> None:
    pages = [kit.page() for _ in range(2)]
    kit.events.end()
    assert [page.aborted for page in pages] == [1, 1]
    assert encode_event('{"a": "é"}') == 'data: {"a": "é"}\n\n'.encode()

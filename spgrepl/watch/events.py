"""``/events``: the status, pushed once a second to pages that are open."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

MOST_PAGES = 50
"""How many pages may be open at once; one more is answered 503."""

PATIENCE = 30.0
"""A page that takes nothing for so many seconds is given up."""


@implementer(IPushProducer)
class _Page:
    """A page that is open somewhere."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._paused: float | None = None

    def pauseProducing(self) -> None:
        """The connection takes no more for now."""
        if self._paused is None:
            self._paused = self._clock.seconds()

    def resumeProducing(self) -> None:
        """The connection takes more again."""
        self._paused = None

    def stopProducing(self) -> None:
        """The connection is gone; `notifyFinish` tells who has to know."""

    def send(self, data: bytes) -> None:
        """Send an event, unless the last ones still wait: the next one says as much."""
        if self._paused is None:
            self._request.write(data)
        elif self._clock.seconds() - self._paused > PATIENCE:
            self.end()

    def end(self) -> None:
        """Close the connection."""
        channel = self._request.channel
        if channel is not None:
            channel.forceAbortClient()


class Events(Resource):
    """Keeps the connections of pages, and sends all of them the same.

    Args:
        clock: The reactor, or a clock.
        first: Makes the event that a page gets at once.
        changed: Called when the first page has come, and when the last one has gone.
    """

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self, clock: IReactorTime, first: Callable[[], bytes], changed: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._first = first
        self._changed = changed
        self._pages: dict[_Page, None] = {}

    def __len__(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    def render_GET(self, request: Request) -> bytes | int:
        """Begin to send events."""
        if len(self._pages) >= MOST_PAGES:
            request.setResponseCode(503)
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
            return b"%d pages are open already\n" % MOST_PAGES
        request.setHeader(b"content-type", b"text/event-stream; charset=utf-8")
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-accel-buffering", b"no")
        if request.method == b"HEAD":
            return b""
        page = _Page(request, self._clock)
        self._pages[page] = None
        request.notifyFinish().addBoth(self._gone, page)
        request.registerProducer(page, True)
        page.send(self._first())
        if len(self._pages) == 1:
            self._changed()
        return NOT_DONE_YET

    def _gone(self, _: Failure | None, page: _Page) -> None:
        self._pages.pop(page, None)
        if not self._pages:
            self._changed()

    def send(self, data: bytes) -> None:
        """Send an event to all pages."""
        for page in list(self._pages):
            page.send(data)

    def end(self) -> None:
        """Close all connections."""
        for page in list(self._pages):
            page.end()


def encode_event(data: str) -> bytes:
    """An event of a text in one line."""
    return f"data: {data}\n\n".encode()

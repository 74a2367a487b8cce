"""What an operator looks at, as resources of a site."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from spgrepl.base.beat import Beat
from spgrepl.base.steady_clock import steady_clock
from spgrepl.text.role_log import RoleLogger
from spgrepl.watch.events import Events, encode_event
from spgrepl.watch.health import DEFAULT_READY_LAG, Healthz, Readyz
from spgrepl.watch.history import History, lag_samples
from spgrepl.watch.leaf import Leaf
from spgrepl.watch.metrics import MetricsResource, Watched

EVERY = 1.0
"""Seconds between two values of the history, and between two events."""

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, and no page of somebody else shows this one."""

_PARTS = {
    "page.html": b"text/html; charset=utf-8",
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
}


class SiteWatch:
    """What a site shows of its roles.

    Args:
        clock: The reactor, or a clock.
        watched: The roles.
        ready_lag: How old a copy may be, in seconds, and still be ready.
        wall_clock: Tells the time of day in seconds since the epoch.
    """

    _log = RoleLogger()

    def __init__(
        self,
        clock: IReactorTime,
        watched: Sequence[Watched],
        ready_lag: float = DEFAULT_READY_LAG,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._watched = watched
        self._ready_lag = ready_lag
        self._wall_clock = wall_clock
        self._history = History()
        self._events = Events(steady_clock(clock), lambda: encode_event(self._now()), self._adjust)
        self._beat = Beat(clock, self._tick, EVERY)
        self._started = False

    def put_below(self, root: Resource) -> None:
        """Add the page with what it needs, ``/metrics``, ``/healthz`` and ``/readyz``."""
        page = _Part("page.html")
        root.putChild(b"", page)
        root.putChild(b"page.css", _Part("page.css"))
        root.putChild(b"page.js", _Part("page.js"))
        root.putChild(b"events", self._events)
        root.putChild(b"history", _Json(self._past))
        root.putChild(b"metrics", MetricsResource(self._watched))
        root.putChild(b"healthz", Healthz())
        root.putChild(b"readyz", Readyz(self._watched, self._ready_lag))

    def start(self) -> None:
        """Begin to keep the history; without it there is one only while a page is open."""
        self._started = True
        self._adjust()

    def stop(self) -> None:
        """End, and close the connections of pages."""
        self._started = False
        self._events.end()
        self._adjust()

    def _adjust(self) -> None:
        if self._started or len(self._events):
            self._beat.start()
        else:
            self._beat.stop()

    def _tick(self) -> None:
        try:
            statuses = [one.status() for one in self._watched]
            self._history.add(lag_samples(statuses))
            if len(self._events):
                self._events.send(encode_event(self._encode(statuses)))
        except Exception:  # noqa: BLE001 - whatever a role does, the next second is looked at again
            self._log.failure("the status could not be shown")

    def _now(self) -> str:
        return self._encode([one.status() for one in self._watched])

    def _encode(self, statuses: Sequence[Any]) -> str:
        samples = lag_samples(statuses)
        return json.dumps({"now": self._wall_clock(), "roles": statuses, "samples": samples}, default=str)

    def _past(self) -> dict[str, Any]:
        return {"now": self._wall_clock(), "every": EVERY, "series": self._history.as_values()}


@functools.cache
def _content(name: str) -> bytes:
    """A file of the page, read once for all roles of the process."""
    return files("spgrepl.watch").joinpath("page", name).read_bytes()


class _Part(Leaf):
    """A file of the page."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._kind = _PARTS[name]
        self._content = _content(name)

    def body(self, request: Request) -> bytes:
        """See `Leaf`."""
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"content-security-policy", _POLICY)
        request.setHeader(b"referrer-policy", b"no-referrer")
        return self._content


class _Json(Leaf):
    """What a call returns, as JSON."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call

    def body(self, request: Request) -> bytes:
        """See `Leaf`."""
        request.setHeader(b"content-type", b"application/json; charset=utf-8")
        return json.dumps(self._call()).encode()

"""A Twisted server whose pages show a table live: every change is pushed to browsers by server-sent events.

Run it, and open http://127.0.0.1:8080/ in some browsers:

    twistd -n --pidfile= -y examples/change_feed.py
    curl -d 'buy milk' http://127.0.0.1:8080/
    curl -N http://127.0.0.1:8080/events

Each browser has a feed of its own. The id of an event is the position to go on at, which a browser sends back as
`Last-Event-ID` when its connection was cut: it misses nothing, whatever was restarted meanwhile. A browser that is
slow holds back its own feed, and nobody else's; what waits for it stays in the log and not in memory.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application, IServiceCollection, Service
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from spgrepl import (
    Change,
    ChangeFeed,
    DatabasePaths,
    FeedPosition,
    FeedStart,
    FeedTransaction,
    Primary,
    RawText,
    RowValue,
    SpgReplError,
    UsageError,
)

MOST_BROWSERS = 1000
SHOWN = 500
BEAT_SECONDS = 15.0
_SAFE_INTEGER = 2**53

PAGE = b"""<!DOCTYPE html>
<meta charset="utf-8"><title>Notes</title>
<form><input name="text" autofocus> <button>Add</button></form>
<ul></ul>
<script>
const list = document.querySelector("ul"), form = document.querySelector("form"), items = new Map();
function show(row) {
  if (!items.has(row.id)) { items.set(row.id, list.appendChild(document.createElement("li"))); }
  if ("text" in row) { items.get(row.id).textContent = row.text; }
}
function remove(id) { if (items.has(id)) { items.get(id).remove(); items.delete(id); } }
const events = new EventSource("/events");
events.addEventListener("rows", event => {
  list.textContent = ""; items.clear();
  JSON.parse(event.data).forEach(show);
});
events.addEventListener("changes", event => {
  for (const change of JSON.parse(event.data)) {
    if (change.table !== "notes") { continue; }
    if (change.kind === "clear") { list.textContent = ""; items.clear(); }
    if (change.before && (!change.after || change.after.id !== change.before.id)) { remove(change.before.id); }
    if (change.after) { show(change.after); }
  }
});
form.addEventListener("submit", event => {
  event.preventDefault();
  fetch("/", {method: "POST", body: form.elements.text.value});
  form.reset();
});
</script>
"""


def json_value(value: RowValue) -> Any:
    """A value as JSON has it; what it cannot hold as an object that says so."""
    if isinstance(value, RawText):
        return {"text": value.content.hex()}
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, float) and not -1e308 <= value <= 1e308:
        return {"real": repr(value)}
    if isinstance(value, int) and not -_SAFE_INTEGER < value < _SAFE_INTEGER:
        return {"integer": str(value)}
    return value


def json_change(change: Change) -> dict[str, Any]:
    """A change as JSON has it."""
    before, after = (
        None if row is None else {name: json_value(value) for name, value in row.items()}
        for row in (change.before, change.after)
    )
    statement = change.statement.encode("utf-8", "replace").decode()
    return {
        "kind": str(change.kind),
        "table": change.table,
        "before": before,
        "after": after,
        "statement": statement,
    }


def event(kind: str, content: Any, position: FeedPosition) -> bytes:
    """A server-sent event."""
    return f"event: {kind}\nid: {position}\ndata: {json.dumps(content)}\n\n".encode()


@implementer(IPushProducer)
class Browser:
    """A browser that listens: its connection, and the feed that fills it.

    Args:
        reactor: The reactor.
        primary: Whose changes it gets.
        request: Its request.
    """

    _log = Logger()

    def __init__(self, reactor: Any, primary: Primary, request: Request) -> None:
        self._reactor = reactor
        self._primary = primary
        self._request = request
        self._drained: Deferred[None] | None = None
        self._paused = False
        self._held = False
        self._feed: ChangeFeed | None = None
        self._beat = LoopingCall(self._keep_alive)
        self._beat.clock = reactor
        self.gone = False

    def start(self) -> None:
        """Go on where the browser was, or begin with the rows that are there."""
        request = self._request
        request.notifyFinish().addBoth(self._closed)
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
        request.registerProducer(self, True)
        self._beat.start(BEAT_SECONDS, now=False).addErrback(
            lambda failure: self._log.failure("keeping alive", failure)
        )
        last = request.getHeader(b"last-event-id")
        try:
            self._follow(FeedPosition.parse((last or b"").decode("ascii", "replace")))
        except UsageError:
            self._begin()

    def _begin(self) -> None:
        """Send the rows, and after them what changes from now on."""
        self._held = True
        ready = self._follow(FeedStart.END).when_ready()
        ready.addCallback(self._read_rows).addErrback(self._failed)

    @inlineCallbacks
    def _read_rows(self, position: FeedPosition) -> Any:
        found = yield self._primary.query("SELECT id, text FROM notes ORDER BY id DESC LIMIT ?", (SHOWN,))
        rows = [{"id": json_value(number), "text": json_value(text)} for number, text in reversed(found.rows)]
        if not self.gone:
            # What changed after the position and before the rows were read comes once more: that does no harm.
            self._request.write(event("rows", rows, position))
            self._held = False
            self._go_on()

    def _follow(self, start: FeedPosition | FeedStart) -> ChangeFeed:
        feed = self._feed = ChangeFeed(self._reactor, self._primary, self._send, start)
        feed.startService()
        feed.when_stopped().addErrback(self._stopped, start)
        return feed

    def _send(self, transaction: FeedTransaction) -> Deferred[None] | None:
        """Send a transaction, as soon as the browser has taken what came before."""
        if not self._paused and not self._held:
            self._write(transaction)
            return None
        self._drained = Deferred()
        return self._drained.addCallback(lambda _: self._write(transaction))

    def _write(self, transaction: FeedTransaction) -> None:
        if not self.gone:
            changes = [json_change(change) for change in transaction.changes]
            self._request.write(event("changes", changes, transaction.position))

    def _stopped(self, failure: Failure, start: FeedPosition | FeedStart) -> None:
        """The feed cannot go on: where the browser was is not in this log, or the server stops."""
        if self.gone:
            return
        if isinstance(start, FeedPosition) and failure.check(SpgReplError) and self._primary.error is None:
            self._begin()
        else:
            self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        if not self.gone:
            self._log.error("a browser is let go: {error}", error=failure.getErrorMessage())
            self.close()

    def _keep_alive(self) -> None:
        """Let proxies, and this side, notice a browser that is gone."""
        if not self._paused:
            self._request.write(b": still here\n\n")

    def close(self) -> Deferred[None]:
        """Let the browser go; it comes again by itself."""
        if not self.gone:
            self._request.unregisterProducer()
            self._request.finish()
        return self._end()

    def _closed(self, _: object) -> None:
        self._end().addErrback(lambda failure: self._log.failure("letting a browser go", failure))

    def _end(self) -> Deferred[None]:
        self.gone = True
        if self._beat.running:
            self._beat.stop()
        self._go_on()
        assert self._feed is not None
        return self._feed.stopService()

    # -- the connection's calls -------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The browser is slow."""
        self._paused = True

    def resumeProducing(self) -> None:
        """The browser has taken what there was."""
        self._paused = False
        self._go_on()

    def _go_on(self) -> None:
        if not self.gone and (self._paused or self._held):
            return
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone; `notifyFinish` tells as well."""


class EventsResource(Resource):
    """GET gives events, for as long as the browser listens."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self, reactor: Any, primary: Primary) -> None:
        Resource.__init__(self)
        self._reactor = reactor
        self._primary = primary
        self._browsers: list[Browser] = []

    def render_GET(self, request: Request) -> bytes | int:
        """Serve a browser."""
        self._browsers = [browser for browser in self._browsers if not browser.gone]
        if len(self._browsers) >= MOST_BROWSERS:
            request.setResponseCode(503)
            return b"as many browsers listen as may\n"
        browser = Browser(self._reactor, self._primary, request)
        self._browsers.append(browser)
        browser.start()
        return NOT_DONE_YET

    def close(self) -> Deferred[Any]:
        """Let all browsers go."""
        return DeferredList([browser.close() for browser in self._browsers], consumeErrors=True)


class NotesResource(Resource):
    """GET gives the page, POST adds a note."""

    _log = Logger()

    def __init__(self, primary: Primary) -> None:
        Resource.__init__(self)
        self._primary = primary

    def render_GET(self, _: Request) -> bytes:
        """Give the page."""
        return PAGE

    def render_POST(self, request: Request) -> int:
        """Add a note; the answer is its position in the log."""
        assert request.content is not None  # twisted.web has read it
        text = request.content.read().decode("utf-8", "replace")
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def answer(status: int, content: str) -> None:
            if not gone:
                request.setResponseCode(status)
                request.write(content.encode() + b"\n")
                request.finish()

        added = self._primary.execute("INSERT INTO notes (text) VALUES (?)", (text,))
        added.addCallbacks(
            lambda position: answer(200, str(int(position))),
            lambda failure: answer(500, failure.getErrorMessage()),
        ).addErrback(lambda failure: self._log.failure("answering", failure))
        return NOT_DONE_YET


class LiveNotesService(Service):
    """The database and the web server.

    Args:
        reactor: The reactor.
        folder: Where the database lives.
        web: The endpoint of the web server.
    """

    _log = Logger()

    def __init__(self, reactor: Any, folder: Path, web: str) -> None:
        self.primary = Primary(reactor, DatabasePaths.of(folder / "notes.db"))
        self.events = EventsResource(reactor, self.primary)
        root = Resource()
        root.putChild(b"", NotesResource(self.primary))
        root.putChild(b"events", self.events)
        self.web = StreamServerEndpointService(serverFromString(reactor, web), Site(root, reactor=reactor))

    def startService(self) -> None:
        """Open the database, then let browsers in."""
        self.running = True
        self._open().addErrback(lambda failure: self._log.failure("the notes cannot be served", failure))

    @inlineCallbacks
    def _open(self) -> Any:
        yield self.primary.open()
        yield self.primary.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        self.web.startService()

    @inlineCallbacks
    def stopService(self) -> Any:
        """Let everybody go, then close the database."""
        self.running = False
        if self.web.running:
            yield self.web.stopService()
        yield self.events.close()
        yield self.primary.close()


def make_application() -> Any:
    """What twistd runs."""
    from twisted.internet import reactor

    application: Any = Application("live notes")
    service = LiveNotesService(
        reactor,
        Path(os.environ.get("NOTES_FOLDER", ".")),
        os.environ.get("NOTES_WEB", "tcp:8080:interface=127.0.0.1"),
    )
    IServiceCollection(application).addService(service)
    return application


if __name__ == "builtins":  # as twistd -y runs it
    application = make_application()

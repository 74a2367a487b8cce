"""A Twisted server that keeps its own database, replicated: notes by HTTP, copied to whoever follows.

Run it:

    twistd -n --pidfile= -y examples/notes_server.py
    curl -d 'buy milk' http://127.0.0.1:8080/
    curl http://127.0.0.1:8080/
    twistd -n --pidfile= spgrepl follower --master 127.0.0.1:7433 --db /tmp/notes-copy.db
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application, IServiceCollection, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from spgrepl import DatabasePaths, MasterRole, MasterSettings, Primary, PrimaryService

TABLE = "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)"


class NotesResource(Resource):
    """GET lists the notes, POST adds one and answers with the position that holds it."""

    isLeaf = True  # noqa: N815 - twisted.web's name
    _log = Logger()

    def __init__(self, primary: Primary) -> None:
        Resource.__init__(self)
        self._primary = primary

    def render_GET(self, request: Request) -> int:
        """List the notes."""
        ready = self._primary.when_ready()
        found = ready.addCallback(lambda _: self._primary.query("SELECT id, text FROM notes ORDER BY id"))
        return self._answer(request, found.addCallback(lambda result: [list(row) for row in result.rows]))

    def render_POST(self, request: Request) -> int:
        """Add a note."""
        assert request.content is not None  # twisted.web has read it
        text = request.content.read().decode("utf-8", "replace")
        added = self._primary.when_ready()
        added.addCallback(lambda _: self._primary.execute("INSERT INTO notes (text) VALUES (?)", (text,)))
        return self._answer(request, added)

    def _answer(self, request: Request, answer: Deferred[Any]) -> int:
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def send(result: Any) -> None:
            if not gone:
                request.write(json.dumps(result).encode() + b"\n")
                request.finish()

        def refuse(failure: Failure) -> None:
            request.setResponseCode(500)
            send({"error": failure.getErrorMessage()})

        answer.addCallbacks(send, refuse).addErrback(lambda failure: self._log.failure("answering", failure))
        return NOT_DONE_YET


class NotesService(MultiService):
    """The database, its master, and the web server.

    Args:
        reactor: The reactor.
        folder: Where the database lives.
        web: The endpoint of the web server.
        listen: The endpoint for followers.
    """

    _log = Logger()

    def __init__(self, reactor: Any, folder: Path, web: str, listen: str) -> None:
        super().__init__()
        paths = DatabasePaths.of(folder / "notes.db")
        self.primary = Primary(reactor, paths)
        self.master = MasterRole(reactor, MasterSettings(paths, serverFromString(reactor, listen)), self.primary)
        site = Site(NotesResource(self.primary), reactor=reactor)
        self.web = StreamServerEndpointService(serverFromString(reactor, web), site)
        for service in (PrimaryService(self.primary), self.master, self.web):
            service.setServiceParent(self)

    def startService(self) -> None:
        """Start everything. Followers and whoever brings notes wait until the database is open."""
        super().startService()
        ready = self.primary.when_ready()
        ready.addCallback(lambda _: self.primary.execute(TABLE))
        ready.addErrback(lambda failure: self._log.failure("the notes cannot be served", failure))


def make_application() -> Any:
    """What twistd runs."""
    from twisted.internet import reactor

    application: Any = Application("notes")
    service = NotesService(
        reactor,
        Path(os.environ.get("NOTES_FOLDER", ".")),
        os.environ.get("NOTES_WEB", "tcp:8080:interface=127.0.0.1"),
        os.environ.get("NOTES_LISTEN", "tcp:7433:interface=127.0.0.1"),
    )
    IServiceCollection(application).addService(service)
    return application


if __name__ == "builtins":  # as twistd -y runs it
    application = make_application()

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
from twisted.application.service import Application, MultiService
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import serverFromString
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from spgrepl import DatabasePaths, MasterRole, MasterSettings, Primary


class NotesResource(Resource):
    """GET lists the notes, POST adds one and answers with the position that holds it."""

    isLeaf = True  # noqa: N815 - twisted.web's name
    _log = Logger()

    def __init__(self, primary: Primary) -> None:
        super().__init__()
        self._primary = primary

    def render_GET(self, request: Request) -> int:
        """List the notes."""
        found = self._primary.query("SELECT id, text FROM notes ORDER BY id")
        return self._answer(request, found.addCallback(lambda result: [list(row) for row in result.rows]))

    def render_POST(self, request: Request) -> int:
        """Add a note."""
        text = request.content.read().decode("utf-8", "replace").replace("'", "''")
        return self._answer(request, self._primary.execute(f"INSERT INTO notes (text) VALUES ('{text}')"))

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
    """The database, its master, and the web server, in the order in which they depend on each other.

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
        self.master = MasterRole(reactor, MasterSettings(paths, serverFromString(reactor, listen)))
        site = Site(NotesResource(self.primary), reactor=reactor)
        self.web = StreamServerEndpointService(serverFromString(reactor, web), site)

    def startService(self) -> None:
        """Open the database, then let others in."""
        super().startService()
        self._open().addErrback(lambda failure: self._log.failure("the notes cannot be served", failure))

    @inlineCallbacks
    def _open(self) -> Any:
        yield self.primary.open()
        yield self.primary.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        self.master.setServiceParent(self)
        self.master.finished.addErrback(lambda failure: self._log.failure("nobody can follow", failure))
        self.web.setServiceParent(self)

    @inlineCallbacks
    def stopService(self) -> Any:
        """Let everybody go, then close the database."""
        yield super().stopService()
        yield self.primary.close()


def make_application() -> Application:
    """What twistd runs."""
    from twisted.internet import reactor

    folder = Path(os.environ.get("NOTES_FOLDER", "."))
    application = Application("notes")
    NotesService(
        reactor,
        folder,
        os.environ.get("NOTES_WEB", "tcp:8080:interface=127.0.0.1"),
        os.environ.get("NOTES_LISTEN", "tcp:7433:interface=127.0.0.1"),
    ).setServiceParent(application)
    return application


if __name__ == "builtins":  # as twistd -y runs it
    application = make_application()

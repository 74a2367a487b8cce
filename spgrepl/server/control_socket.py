"""A server's control socket: its site on a UNIX socket beside the log, for whoever may write there."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.tcp import Port as TcpPort
from twisted.internet.unix import Port as UnixPort
from twisted.python.failure import Failure
from twisted.web.server import Site

from spgrepl.access.client import peer_of
from spgrepl.errors import ConfigurationError
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

LONGEST_PATH = 107
"""The most bytes that the name of a UNIX socket may have on Linux."""


class ControlSocket(Service):
    """Serves a site on a UNIX socket that only this process's user may open.

    Where that cannot be, the service logs why and does without: a master serves its followers all the same.

    Args:
        reactor: The reactor.
        path: The socket's name; see `spgrepl.disk.files.DatabasePaths.control_socket`.
        site: What answers there.

    Attributes:
        port: The listening port; None where nothing listens.
        error: Why nothing listens; None before the start and where all is well.
    """

    _log = RoleLogger()

    def __init__(self, reactor: Any, path: Path, site: Site) -> None:
        self._reactor = reactor
        self._path = path
        self._site = site
        self._inode: tuple[int, int] | None = None
        self.port: IListeningPort | None = None
        self.error: str | None = None

    def startService(self) -> None:
        """Listen."""
        Service.startService(self)
        try:
            self._make_way()
            self._listen()
        except (ConfigurationError, CannotListenError, OSError) as error:
            self.error = str(error)
            self._log.error(
                "doing without the control socket, `spgrepl exec` reaches this server with --http only: {reason}",
                reason=self.error,
            )

    def _make_way(self) -> None:
        """Remove what a server left that was killed.

        Raises:
            ConfigurationError: There is no way, or another server is there.
        """
        size = len(os.fsencode(self._path))
        if size > LONGEST_PATH:
            raise ConfigurationError(
                f"{self._path} has {number_of(size, 'byte')}, the name of a UNIX socket may have "
                f"{LONGEST_PATH}: put the log into a folder with a shorter name"
            )
        if not os.access(self._path.parent, os.W_OK | os.X_OK):
            raise ConfigurationError(f"{self._path.parent} is not a folder that this process may write into")
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigurationError(f"{self._path} is there and is not a socket: move it away")
        holder = _find_listener(self._path)
        if holder is not None:
            raise ConfigurationError(
                f"{self._path} is served by {holder}: one server belongs to a log; stop that one first"
            )
        self._path.unlink(missing_ok=True)

    def _listen(self) -> None:
        self.error = None
        # The mode is set before the socket listens: nobody else gets in between.
        port = _NamedPort(os.fsencode(self._path), self._site, mode=0o600, reactor=self._reactor)
        try:
            port.startListening()  # type: ignore[no-untyped-call]
        except CannotListenError:
            self._site.doStop()
            raise
        self.port = port
        self._inode = _inode_of(self._path)
        self._log.info("statements are taken at {path}", path=self._path)

    def stopService(self) -> Deferred[None]:
        """Listen no more, and remove the socket."""
        Service.stopService(self)
        port, self.port = self.port, None
        if port is None:
            return maybeDeferred(lambda: None)
        # Another's socket stays: somebody removed ours, and another server took its name.
        if self._inode is not None and _inode_of(self._path) == self._inode:
            self._path.unlink(missing_ok=True)
        return maybeDeferred(port.stopListening).addCallbacks(lambda _: None, self._not_closed)

    def _not_closed(self, failure: Failure) -> None:
        self._log.failure("the control socket {path} was not closed", failure, path=self._path)


class _NamedPort(UnixPort):
    """A port that leaves its name to its owner, who knows whether it is still the port's own."""

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket; Twisted's own port would remove whatever has the name now, or fail."""
        TcpPort.connectionLost(self, reason)


def _find_listener(path: Path) -> str | None:
    """Who listens on a UNIX socket; None where its process has gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except BlockingIOError:
            return "a process with many callers"
        return f"process {peer_of(probe)[0]}"


def _inode_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino

"""Asking a server's ``/status``, ``/wait`` and ``/sql`` from a program without a reactor."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import attrs

from spgrepl.errors import EXIT_UNAVAILABLE, SpgReplError, UsageError


class ServerUnreachable(SpgReplError):
    """Nobody answers at an address, or not as a server of this package does."""

    exit_code = EXIT_UNAVAILABLE


@attrs.frozen
class StatusAddress:
    """Where a server answers ``/status``.

    Attributes:
        host: Its host, empty for a UNIX socket.
        port: Its port.
        path: The path of its UNIX socket, empty for TCP.
        token: What is shown where a statement is posted over TCP; empty for nothing.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    token: str = attrs.field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"http://{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> StatusAddress:
        """Read ``http://host:port``, ``host:port`` or ``unix:/path``.

        Raises:
            UsageError: The text is nothing of the kind.
        """
        if text.startswith("unix:/"):
            return cls(path=text.removeprefix("unix:"))
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port or 80
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/", "/status", "/wait", "/sql"):
            raise UsageError(f"{text!r} is not an address of a server: write http://HOST:PORT or unix:/path")
        return cls(host=parts.hostname, port=port)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(
    address: StatusAddress, path: str, timeout: float | None = 10.0, statement: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Send a request and wait for its answer.

    Args:
        address: The server.
        path: What to ask for, such as ``/status``.
        timeout: Seconds without a byte after which to give up; None never does.
        statement: SQL to post; None sends a GET request.

    Returns:
        The HTTP status code and the JSON object of the answer.

    Raises:
        ServerUnreachable: Nobody answers, or not in JSON.
        UsageError: The statement is not valid Unicode.
    """
    try:
        posted = None if statement is None else statement.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the statement is not valid Unicode: {error.reason} at {error.start}") from error
    if address.path:
        connection: http.client.HTTPConnection = _UnixConnection(address.path, timeout)
    else:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    try:
        if posted is None:
            connection.request("GET", path)
        else:
            headers = {"Content-Type": "application/sql; charset=utf-8"}
            if address.token:
                headers["Authorization"] = f"Bearer {address.token}"
            connection.request("POST", path, posted, headers)
        response = connection.getresponse()
        answer = response.read()
    except (ConnectionRefusedError, FileNotFoundError) as error:
        what = "" if address.path else ". Start its server, or name where another has its --http"
        raise ServerUnreachable(f"{address} does not answer: {error.strerror}{what}") from error
    except http.client.RemoteDisconnected as error:
        raise ServerUnreachable(
            f"{address} takes the connection and ends it without an answer: it may be where followers connect "
            f"(--listen); name what its --http says"
        ) from error
    except TimeoutError as error:
        raise ServerUnreachable(
            f"{address} does not answer: nothing came for {timeout:g} s. It is stopped or overloaded, or the "
            f"network between is cut"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        # A ValueError says that there can be no such host, path or token.
        raise ServerUnreachable(f"{address} does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    try:
        content = json.loads(answer)
    except ValueError as error:
        raise ServerUnreachable(f"{address} answers, but not as a server of spgrepl does") from error
    if not isinstance(content, dict):
        raise ServerUnreachable(f"{address} answers, but not as a server of spgrepl does")
    return response.status, content

"""The CONNECTION of a CREATE SUBSCRIPTION: ``'host=db.example.org port=7433'``, as libpq writes them."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from spgrepl.errors import UsageError
from spgrepl.options import client_endpoint

_PAIR = re.compile(
    r"\s*+(?P<key>\w++)\s*+=\s*+(?:'(?P<quoted>(?>(?:[^'\\]++|\\.)*))'|(?P<plain>[^\s']++))", re.DOTALL
)
_KNOWN = frozenset({"host", "port"})


def parse_connection(text: str) -> dict[str, str]:
    """Read the pairs of a connection string.

    Raises:
        UsageError: It is not of that form, names something else than host and port, or lacks one of the two.
    """
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        pair = _PAIR.match(text, at)
        if pair is None or pair["key"] not in _KNOWN or pair["key"] in found:
            raise UsageError(
                f"the connection string {text!r} cannot be read behind {text[:at]!r}: write 'host=… port=…'"
            )
        quoted = pair["quoted"]
        found[pair["key"]] = pair["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = pair.end()
    if "host" not in found or ("port" not in found and not found["host"].startswith("/")):
        raise UsageError(f"the connection string {text!r} lacks host or port: write 'host=NAME port=NUMBER'")
    return found


def connection_endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    """The endpoint that a connection string names; a host that begins with a slash is a UNIX socket.

    Raises:
        UsageError: It names none.
    """
    found = parse_connection(text)
    host = found["host"]
    if host.startswith("/"):
        return client_endpoint(reactor, "unix:" + host.replace(":", "\\:"))
    return client_endpoint(reactor, f"[{host}]:{found['port']}" if ":" in host else f"{host}:{found['port']}")

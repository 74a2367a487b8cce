"""The CONNECTION of a CREATE SUBSCRIPTION: ``'host=db.example.org port=7433'``, as libpq writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from twisted.internet.interfaces import IStreamClientEndpoint

from spgrepl.access.endpoints import client_endpoint
from spgrepl.access.tls_files import TlsFiles
from spgrepl.access.with_extra import client_tls
from spgrepl.errors import UsageError
from spgrepl.errors.shown import shown_connection

_PAIR = re.compile(
    r"\s*+(?P<key>\w++)\s*+=\s*+(?:'(?P<quoted>(?>(?:[^'\\]++|\\.)*))'|(?P<plain>[^\s']++))", re.DOTALL
)
_TLS = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_KNOWN = frozenset({"host", "port", *_TLS})
_URI = re.compile(r"\s*\w+://")
_FORM = "write 'host=NAME port=NUMBER', or 'host=/path/of/a/socket'"


def parse_connection(text: str) -> dict[str, str]:
    """Read the pairs of a connection string.

    Raises:
        UsageError: It is not of that form, names something else than host and port, or lacks one of the two.
    """
    shown = repr(shown_connection(text))
    if _URI.match(text):
        raise UsageError(f"the connection string {shown} is a URI, which is not understood: {_meant(text)}")
    found: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        pair = _PAIR.match(text, at)
        if pair is None:
            raise UsageError(f"the connection string {shown} cannot be read from character {at + 1} on: {_FORM}")
        key = pair["key"]
        if key in found:
            raise UsageError(f"the connection string {shown} names {key} twice: {_FORM}")
        quoted = pair["quoted"]
        found[key] = pair["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = pair.end()
    _check(found, shown)
    return found


def _check(found: dict[str, str], shown: str) -> None:
    host, port = found.get("host", ""), found.get("port")
    if not host:
        raise UsageError(f"the connection string {shown} names no host: {_FORM}")
    unknown = ", ".join(key for key in found if key not in _KNOWN)
    if unknown:
        raise UsageError(
            f"the connection string {shown} names {unknown}, which means nothing here: a master is found by host "
            f"and port alone, by TLS with {', '.join(_TLS)}: {_FORM}"
        )
    if any(key in found for key in _TLS[1:]) and found.get("sslmode") != "verify-full":
        raise UsageError(f"the connection string {shown} names files of TLS, and not sslmode=verify-full")
    if found.get("sslmode", "disable") not in ("disable", "verify-full"):
        raise UsageError(
            f"the connection string {shown} names the sslmode {found['sslmode']!r}, expected disable "
            f"or verify-full"
        )
    if "sslmode" in found and host.startswith("/") and found["sslmode"] != "disable":
        raise UsageError(f"the connection string {shown} names a UNIX socket, which is connected to without TLS")
    if port is None and not host.startswith("/"):
        raise UsageError(f"the connection string {shown} names no port: {_FORM}")
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port[:9]) < 2**16):
        raise UsageError(f"the connection string {shown} names the port {port!r}, expected 1 to 65535: {_FORM}")


def _meant(uri: str) -> str:
    """How a URI is written here, as far as it tells where a master is."""
    try:
        parts: SplitResult | None = urlsplit(uri.strip())
        port = None if parts is None else parts.port
    except ValueError:
        parts = port = None
    host = "" if parts is None else unquote(parts.hostname or "")
    if not re.fullmatch(r"[\w.:%-]+", host):
        return _FORM
    return f"write 'host={host} port={port or 'NUMBER'}'"


def connection_endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    """The endpoint that a connection string names; a host that begins with a slash is a UNIX socket.

    The keys of TLS are libpq's: ``sslmode=verify-full``, ``sslrootcert``, ``sslcert`` and ``sslkey``.

    Raises:
        UsageError: It names none, or a file of TLS is not what it should be.
    """
    found = parse_connection(text)
    host = found["host"]
    if host.startswith("/"):
        return client_endpoint(reactor, "unix:" + host.replace(":", "\\:"))
    plain = client_endpoint(reactor, f"[{host}]:{found['port']}" if ":" in host else f"{host}:{found['port']}")
    if found.get("sslmode") != "verify-full":
        return plain
    certificate, key, authorities = (
        Path(found[name]) if name in found else None for name in ("sslcert", "sslkey", "sslrootcert")
    )
    return client_tls(reactor, plain, TlsFiles(certificate, key, authorities), host)

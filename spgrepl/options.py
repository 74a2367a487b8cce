"""Reading what users type: sizes, durations, positions and endpoints."""

from __future__ import annotations

import re

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint

from spgrepl.errors import UsageError
from spgrepl.wire.segment_chunks import MAX_CHUNK

_SIZE = re.compile(r"(\d+)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]/]+):(?P<port>\d{1,5})")
_ENDPOINT_HELP = "write HOST:PORT, unix:/path, or a Twisted endpoint such as"


def parse_size(text: str) -> int:
    """Read a number of bytes: ``4096``, ``64M``, ``1 GiB``.

    Returns:
        Bytes, above 0. Units are powers of 1024.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    found = _SIZE.fullmatch(text.strip())
    size = int(found[1]) * _UNITS[found[2].upper()] if found else 0
    if size <= 0:
        raise UsageError(f"{text!r} is no size: write bytes above 0, such as 4096, 64M or 1G")
    return size


def parse_chunk(text: str) -> int:
    """Read the size of segment chunks: 1 byte to 16 MiB.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    size = parse_size(text)
    if size > MAX_CHUNK:
        raise UsageError(f"{text!r} is more than a chunk may carry: 16M at most")
    return size


def parse_seconds(text: str) -> float:
    """Read a duration in seconds, above 0.

    Raises:
        UsageError: The text is no such number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise UsageError(f"{text!r} is no duration: write seconds above 0, such as 60 or 0.5")
    return seconds


def parse_count(text: str) -> int:
    """Read a whole number from 1 on.

    Raises:
        UsageError: The text is no such number.
    """
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise UsageError(f"{text!r} is no number from 1 on")
    return int(text)


def parse_position(text: str) -> int:
    """Read a position in a log: a whole number of bytes from 0 to 2⁶⁴ − 1.

    Raises:
        UsageError: The text is no such number.
    """
    if not (text.isascii() and text.isdigit() and int(text) < 2**64):
        raise UsageError(f"{text!r} is no position: write a number of bytes from 0 on")
    return int(text)


def parse_name(text: str) -> str:
    """Read a name as PostgreSQL does: it folds to lower case, in double quotes it stays as it is.

    Raises:
        UsageError: The text is empty, or a quotation mark is missing.
    """
    if len(text) >= 2 and text[0] == text[-1] == '"':
        name = text[1:-1].replace('""', '"')
        if name and '"' not in text[1:-1].replace('""', ""):
            return name
    elif text.strip() and '"' not in text:
        return text.lower()
    raise UsageError(f"{text!r} is no name: write it as in SQL, with double quotes where capitals are to stay")


def parse_crc(text: str) -> int:
    """Read a CRC-32 in hex, with or without ``0x``.

    Raises:
        UsageError: The text is nothing of the kind.
    """
    digits = text.lower().removeprefix("0x")
    if re.fullmatch(r"[0-9a-f]{1,8}", digits) is None:
        raise UsageError(f"{text!r} is no CRC-32: write eight hex digits, as in the message that names the record")
    return int(digits, 16)


def _host_and_port(text: str) -> tuple[str, int] | None:
    """Take a bare ``host:port`` apart; None for anything else."""
    found = _HOST_PORT.fullmatch(text)
    if found is None or found["host"] in ("tcp", "tcp6", "ssl", "tls", "unix", "systemd", "fd"):
        return None
    port = int(found["port"])
    if port > 65535:
        raise UsageError(f"{text!r} names port {port}; the highest is 65535")
    return found["host"].strip("[]"), port


def _quoted(host: str) -> str:
    return host.replace("\\", "\\\\").replace(":", "\\:")


def server_endpoint(reactor: object, text: str) -> IStreamServerEndpoint:
    """Make the endpoint to listen on.

    Args:
        reactor: The reactor that will listen.
        text: A Twisted endpoint string, or ``host:port`` with a host or address of this machine.

    Raises:
        UsageError: The text names no endpoint.
    """
    bare = _host_and_port(text)
    if bare is not None:
        host, port = bare
        kind = "tcp6" if ":" in host else "tcp"
        text = f"{kind}:{port}:interface={_quoted(host)}"
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except (ValueError, TypeError, LookupError) as error:
        raise UsageError(
            f"{text!r} is no endpoint to listen on ({error}); {_ENDPOINT_HELP} tcp:7433:interface=127.0.0.1"
        ) from error
    return endpoint


def client_endpoint(reactor: object, text: str) -> IStreamClientEndpoint:
    """Make the endpoint to connect to.

    Args:
        reactor: The reactor that will connect.
        text: A Twisted endpoint string, or ``host:port``.

    Raises:
        UsageError: The text names no endpoint.
    """
    bare = _host_and_port(text)
    if bare is not None:
        text = f"tcp:{_quoted(bare[0])}:{bare[1]}"
    elif ":" not in text:
        raise UsageError(f"{text!r} is no endpoint to connect to; {_ENDPOINT_HELP} tcp:localhost:7433")
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, text)
    except (ValueError, TypeError, LookupError) as error:
        raise UsageError(
            f"{text!r} is no endpoint to connect to ({error}); {_ENDPOINT_HELP} tcp:localhost:7433"
        ) from error
    return endpoint

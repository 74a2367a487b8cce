"""The words of an endpoint string: ``tcp:7433:interface=127.0.0.1``, as Twisted reads them."""

from __future__ import annotations

import re

import attrs

from spgrepl.access.places import is_local
from spgrepl.errors import UsageError

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]/]+):(?P<port>\d{1,5})")
_KINDS = ("tcp", "tcp6", "ssl", "tls", "unix", "systemd", "fd")
_WORD = re.compile(r"((?:\\.|[^\\:])*)(?::|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_NAMED = re.compile(r"(\w+)=(.*)", re.DOTALL)


@attrs.frozen
class EndpointWords:
    """An endpoint string, taken apart.

    Attributes:
        kind: Its first word in lower case.
        plain: The words after it that have no name.
        named: Those that have one.
    """

    kind: str
    plain: tuple[str, ...]
    named: dict[str, str]

    @classmethod
    def of(cls, text: str) -> EndpointWords:
        """Take a string apart."""
        kind, _, rest = text.partition(":")
        plain: list[str] = []
        named: dict[str, str] = {}
        for found in _WORD.finditer(rest):
            if found.end() == len(rest) and not found[0]:
                break
            word = _NAMED.fullmatch(found[1])
            if word is None:
                plain.append(_ESCAPED.sub(r"\1", found[1]))
            else:
                named[word[1]] = _ESCAPED.sub(r"\1", word[2])
        return cls(kind.lower(), tuple(plain), named)

    def word(self, name: str, place: int) -> str | None:
        """A word by its name, or by its place among those that have none."""
        if name in self.named:
            return self.named[name]
        return self.plain[place] if place < len(self.plain) else None


def host_and_port(text: str) -> tuple[str, int] | None:
    """Take a bare ``host:port`` apart; None for anything else.

    Raises:
        UsageError: The port is above the highest.
    """
    found = _HOST_PORT.fullmatch(text)
    if found is None or found["host"] in _KINDS:
        return None
    port = int(found["port"])
    if port > 65535:
        raise UsageError(f"{text!r} names port {port}; the highest is 65535")
    return found["host"].strip("[]"), port


def quoted(word: str) -> str:
    """A word as it stands in an endpoint string."""
    return word.replace("\\", "\\\\").replace(":", "\\:")


def is_unix(text: str) -> bool:
    """Whether an endpoint string names a UNIX socket."""
    return EndpointWords.of(text).kind == "unix"


def host_of(text: str) -> str | None:
    """The host that a client connects to, where its endpoint string names one."""
    bare = host_and_port(text)
    if bare is not None:
        return bare[0]
    words = EndpointWords.of(text)
    return words.word("host", 0) if words.kind in ("tcp", "ssl", "tls") else None


def local_by_default(text: str) -> str:
    """A server's endpoint string, with the loopback interface where it names no other; a bare port will do."""
    if text.isascii() and text.isdigit():
        return f"127.0.0.1:{text}"
    if host_and_port(text) is not None:
        return text
    words = EndpointWords.of(text)
    if words.kind not in ("tcp", "tcp6", "ssl") or words.named.get("interface") or len(words.plain) > 1:
        return text
    return f"{text}:interface=" + (quoted("::1") if words.kind == "tcp6" else "127.0.0.1")


def reaches_beyond(text: str) -> bool:
    """Whether a server's endpoint string says by itself that other machines can connect.

    Of a name, or of what another process has opened, only the port that listens tells.
    """
    bare = host_and_port(text)
    if bare is not None:
        host: str | None = bare[0]
    else:
        words = EndpointWords.of(text)
        if words.kind not in ("tcp", "tcp6", "ssl"):
            return False
        host = words.named.get("interface") or ("::" if words.kind == "tcp6" else "0.0.0.0")  # noqa: S104 # nosec B104
    named = _Address(host or "")
    return named.is_ip and not is_local(named)


@attrs.frozen
class _Address:
    host: str

    @property
    def is_ip(self) -> bool:
        return bool(re.fullmatch(r"[\d.]+|[0-9A-Fa-f:.%\w]*:[0-9A-Fa-f:.%\w]*", self.host))

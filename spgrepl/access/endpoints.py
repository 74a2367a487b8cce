"""The endpoints that users name: ``host:port``, ``unix:/path``, or an endpoint string of Twisted's.

Of Twisted's own strings those for TLS read their files once. Here they are read again when they change, a name is
checked even where the string does not say which, and TLS older than 1.2 cannot be asked for.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, clientFromString, serverFromString
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.tcp import Port as TcpPort
from twisted.internet.unix import Port as UnixPort
from zope.interface import implementer

from spgrepl.access.endpoint_words import EndpointWords, host_and_port, host_of, quoted
from spgrepl.access.tls_files import TlsFiles
from spgrepl.access.with_extra import NEED_EXTRA, server_tls, with_checked_name
from spgrepl.errors import ConfigurationError, SpgReplError, UsageError
from spgrepl.text.role_log import RoleLogger

_E = TypeVar("_E")

_TLS = ("ssl", "tls")
_LISTEN_EXAMPLE = "write HOST:PORT, unix:/path, or a Twisted endpoint such as tcp:7433:interface=127.0.0.1"
_CONNECT_EXAMPLE = "write HOST:PORT, unix:/path, or a Twisted endpoint such as tcp:localhost:7433"
_BACKLOG = "1024"
"""So many connections wait until they are accepted, unless the string says otherwise; Twisted has 50. The kernel
takes no more than net.core.somaxconn."""
_WITH_BACKLOG = ("tcp", "tcp6", "unix")
_SYSTEMD_WORDS = {"domain", "index", "name"}
_OWN_WORDS = {"port", "privateKey", "certKey", "extraCertChain", "interface", "backlog"}


def server_endpoint(reactor: Any, text: str) -> IStreamServerEndpoint:
    """Make the endpoint to listen on.

    Args:
        reactor: The reactor that will listen.
        text: A Twisted endpoint string, or ``host:port`` with a host or address of this machine.

    Raises:
        UsageError: The text names no endpoint, or TLS whose packages or files are not there.
        ConfigurationError: It names another file that cannot be read.
    """
    bare = host_and_port(text)
    if bare is not None:
        host, port = bare
        kind = "tcp6" if ":" in host else "tcp"
        text = f"{kind}:{port}:interface={quoted(host)}"

    def make() -> IStreamServerEndpoint:
        words = EndpointWords.of(text)
        if words.kind == "ssl":
            return _ssl_server(reactor, words)
        if words.kind == "systemd":
            return SystemdEndpoint(reactor, text, words)
        if words.kind == "unix":
            _refuse_other_file(words.word("address", 0) or "")
        named = text
        if words.kind in _WITH_BACKLOG and "backlog" not in words.named:
            named = f"{text}:backlog={_BACKLOG}"
        made: IStreamServerEndpoint = serverFromString(reactor, named)
        return made

    return _made(text, "listen on", _LISTEN_EXAMPLE, make)


def client_endpoint(reactor: Any, text: str) -> IStreamClientEndpoint:
    """Make the endpoint to connect to.

    Args:
        reactor: The reactor that will connect.
        text: A Twisted endpoint string, or ``host:port``.

    Raises:
        UsageError: The text names no endpoint, or TLS whose packages or files are not there.
        ConfigurationError: It names another file that cannot be read.
    """
    bare = host_and_port(text)
    if bare is not None:
        text = f"tcp:{quoted(bare[0])}:{bare[1]}"
    elif ":" not in text:
        raise UsageError(f"{text!r} is not an endpoint to connect to; {_CONNECT_EXAMPLE}")

    def make() -> IStreamClientEndpoint:
        words = EndpointWords.of(text)
        if words.kind not in _TLS:
            made: IStreamClientEndpoint = clientFromString(reactor, text)
            return made
        named = text
        if words.kind == "ssl" and "hostname" not in words.named:
            # Twisted checks no name then: any certificate of the authority's would do.
            named = f"{text}:hostname={quoted(host_of(text) or '')}"
        server_name = words.named.get("hostname") or host_of(text) or ""
        return with_checked_name(_MadeAgain(lambda: clientFromString(reactor, named)), server_name)

    return _made(text, "connect to", _CONNECT_EXAMPLE, make)


def _refuse_other_file(path: str) -> None:
    """Twisted would leave a lock beside it, and say that the address is in use."""
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        raise UsageError(f"{path} is there and is not a socket: name another path, or move it away")


def _ssl_server(reactor: Any, words: EndpointWords) -> IStreamServerEndpoint:
    """An ``ssl:`` endpoint whose certificates are read again when they change."""
    unknown = set(words.named) - _OWN_WORDS
    if unknown or len(words.plain) > 1:
        more = ", ".join(sorted(unknown)) or ":".join(words.plain[1:])
        raise UsageError(f"{more} has no meaning here; there are {', '.join(sorted(_OWN_WORDS))}")
    key = Path(words.named.get("privateKey", "server.pem")).absolute()
    certificate = Path(words.named.get("certKey", key)).absolute()
    chain = words.named.get("extraCertChain")
    tls = server_tls(reactor, TlsFiles(certificate, key, chain=Path(chain).absolute() if chain else None))
    interface = words.named.get("interface", "")
    kind = "tcp6" if ":" in interface else "tcp"
    backlog = words.named.get("backlog", _BACKLOG)
    plain = f"{kind}:{words.word('port', 0)}:interface={quoted(interface)}:backlog={backlog}"
    return TlsServerEndpoint(serverFromString(reactor, plain), tls.wrap)


@implementer(IStreamServerEndpoint)
class SystemdEndpoint:
    """A socket that systemd has made, and hands over to this process.

    Which ones it hands over shows when this listens: a configuration can be checked anywhere.

    Args:
        reactor: The reactor that will listen.
        text: The endpoint string, such as ``systemd:domain=INET:index=0``.
        words: The same, taken apart.

    Raises:
        UsageError: It says not which socket it means.
    """

    def __init__(self, reactor: Any, text: str, words: EndpointWords) -> None:
        index, name = words.named.get("index"), words.named.get("name")
        known = words.word("domain", 0) in ("INET", "INET6", "UNIX") and not set(words.named) - _SYSTEMD_WORDS
        if not known or (index is None) == (name is None) or not (index is None or index.isdecimal()):
            raise UsageError(
                "expected systemd:domain=INET:index=0, or name=… with the FileDescriptorName of the socket's "
                "unit; domain is INET, INET6 or UNIX"
            )
        self._reactor = reactor
        self._text = text

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """Listen; see `IStreamServerEndpoint`. It may be done again when the port was closed."""
        try:
            found: Any = serverFromString(self._reactor, self._text)
        except (IndexError, KeyError):
            return fail(
                ConfigurationError(
                    f"systemd has handed over no socket for {self._text!r}: start this by the socket unit, or by "
                    f"systemd-socket-activate with --fdname, or name an address"
                )
            )
        return adopt(self._reactor, found.fileno, found.addressFamily, protocolFactory)


def adopt(reactor: Any, number: int, family: int, factory: IProtocolFactory) -> Deferred[IListeningPort]:
    """Listen on a socket that somebody else has made, and leave it open when that ends.

    Twisted closes what it was given once it listens. The number would soon be another file's, and a role that is
    started again would listen on that.

    Args:
        reactor: The reactor.
        number: The descriptor of the socket.
        family: Its family.
        factory: Makes the protocols.
    """
    try:
        os.set_inheritable(number, False)
        copy = os.dup(number)
    except OSError as error:
        return fail(ConfigurationError(f"descriptor {number}, which systemd has handed over, is closed: {error}"))
    with socket.socket(fileno=os.dup(number)) as made:
        path = made.getsockname() if made.family is socket.AF_UNIX else ""
    mode = os.stat(path).st_mode if path and isinstance(path, str) else None
    listening: Deferred[Any] = AdoptedStreamServerEndpoint(reactor, copy, family).listen(factory)
    return listening if mode is None else listening.addCallback(_leave_its_file, path, stat.S_IMODE(mode))


def _leave_its_file(port: Any, path: str, mode: int) -> Any:
    """A UNIX socket that systemd has made keeps its mode, and its file when this ends: the next start is by it."""
    os.chmod(path, mode)  # Twisted lets everybody in
    if isinstance(port, UnixPort):
        # Of adopted sockets for TCP it is so already: what others have open, too, is not shut down.
        port._shouldShutdown = False  # noqa: SLF001
        port.connectionLost = partial(TcpPort.connectionLost, port)  # type: ignore[method-assign]
    return port


@implementer(IStreamServerEndpoint)
class TlsServerEndpoint:
    """An endpoint whose connections speak TLS.

    Args:
        endpoint: Listens.
        wrap: Puts TLS around a factory.
    """

    def __init__(
        self, endpoint: IStreamServerEndpoint, wrap: Callable[[IProtocolFactory], IProtocolFactory]
    ) -> None:
        self._endpoint = endpoint
        self._wrap = wrap

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:  # noqa: N803
        """Listen; see `IStreamServerEndpoint`."""
        return self._endpoint.listen(self._wrap(protocolFactory))


@implementer(IStreamClientEndpoint)
class _MadeAgain:
    """A client's endpoint that is made of its string each time, so that its files are read again.

    Args:
        make: Makes it; called at once too, to find out what is wrong.
    """

    _log = RoleLogger()

    def __init__(self, make: Callable[[], IStreamClientEndpoint]) -> None:
        self._made = make()
        self._make = make

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`."""
        try:
            self._made = self._make()
        except Exception as error:  # noqa: BLE001 - Twisted's parsers and OpenSSL raise whatever they like
            self._log.warn("the files of the endpoint are used as they were before: {error}", error=repr(error))
        return self._made.connect(protocolFactory)


def _made(text: str, purpose: str, expected: str, make: Callable[[], _E]) -> _E:
    """Make an endpoint; the plugin that its first word names may raise whatever it likes."""
    needs_tls = text.partition(":")[0].lower() in _TLS
    try:
        return make()
    except SpgReplError as error:
        raise UsageError(f"{text!r} cannot be used: {error}") from error
    except OSError as error:
        file = f" {error.filename}:" if error.filename else ""
        kind = UsageError if needs_tls else ConfigurationError
        raise kind(f"{text!r} names something that cannot be used:{file} {error.strerror}") from error
    except Exception as error:
        if needs_tls and isinstance(error, ImportError | NameError | AttributeError | NotImplementedError):
            raise UsageError(f"{text!r} cannot be used: {NEED_EXTRA}") from error
        said = str(error) or type(error).__name__
        raise UsageError(f"{text!r} is not an endpoint to {purpose} ({said}); {expected}") from error

"""TLS between real sockets: who is served, who is not, what both sides are told, and files that change."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography import x509
from OpenSSL import SSL
from service_identity import CertificateError
from twisted.internet import endpoints, protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyClass, verifyObject

from spgrepl.access.endpoints import TlsServerEndpoint, client_endpoint, server_endpoint
from spgrepl.access.failures import WrongServerName, describe_tls_failure
from spgrepl.access.interfaces import ICertificateListener, IServerTls
from spgrepl.access.pem import load_identity, names_of
from spgrepl.access.reloading import Reloading
from spgrepl.access.tls import (
    CheckedConnections,
    CheckedEndpoint,
    ServerTls,
    TlsClientEndpoint,
    _CheckedProtocol,
    check_server_name,
    in_ascii,
    is_address,
)
from spgrepl.access.tls_files import TlsFiles
from spgrepl.access.with_extra import client_tls, server_tls
from spgrepl.errors import UsageError
from spgrepl.master.protocol import MasterProtocol
from tests.access.authority import Authority
from tests.conftest import LoggedFailures


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@implementer(ICertificateListener)
class Echo(protocol.Protocol):
    """Sends back what comes, and notes how it ends."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.refused: str | None = None

    def certificate_refused(self, reason: str) -> None:
        self.refused = reason

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.server.ended.callback((self.refused, describe_tls_failure(reason)))
        self.server.ended = Deferred()


class Server:
    """A port that speaks TLS."""

    def __init__(self, files: TlsFiles) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.tls = server_tls(self.reactor, files)
        self.ended: Deferred[Any] = Deferred()
        endpoint = TlsServerEndpoint(
            endpoints.TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1"), self.tls.wrap
        )
        assert verifyObject(IStreamServerEndpoint, endpoint)
        factory = protocol.Factory.forProtocol(lambda: Echo(self))  # type: ignore[arg-type]
        factory.noisy = False
        self.port = pytest_twisted.blockon(endpoint.listen(factory))

    def below(self) -> IStreamClientEndpoint:
        endpoint: IStreamClientEndpoint = endpoints.TCP4ClientEndpoint(
            self.reactor, "127.0.0.1", self.port.getHost().port
        )
        return endpoint

    async def ask(self, files: TlsFiles, name: str = "localhost") -> tuple[bytes, str | None]:
        """Connect, send a word, and return what came back and how the connection failed."""
        caller = Caller()
        factory = protocol.Factory.forProtocol(lambda: caller)  # type: ignore[arg-type]
        factory.noisy = False
        made = await client_tls(self.reactor, self.below(), files, name).connect(factory)
        assert made is caller
        return await caller.ended


class Caller(protocol.Protocol):
    """Says a word, takes the answer and goes."""

    def __init__(self) -> None:
        self.ended: Deferred[tuple[bytes, str | None]] = Deferred()
        self.answer = b""

    def connectionMade(self) -> None:
        self.transport.write(b"word")

    def dataReceived(self, data: bytes) -> None:
        self.answer += data
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.ended.callback((self.answer, describe_tls_failure(reason)))


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    files = authority.files("localhost", "127.0.0.1", file="server")
    made = Server(TlsFiles(files.certificate, files.key, files.authorities, require_client=True))
    yield made
    pytest_twisted.blockon(made.port.stopListening())


def test_interfaces(authority: Authority) -> None:
    tls = ServerTls(Clock(), authority.files("localhost"))
    assert verifyObject(IOpenSSLServerConnectionCreator, tls)
    assert verifyObject(IServerTls, tls)
    below = endpoints.TCP4ClientEndpoint(MemoryReactorClock(), "127.0.0.1", 1)
    assert verifyObject(
        IStreamClientEndpoint, TlsClientEndpoint(Clock(), below, TlsFiles(authorities=authority.file), "localhost")
    )
    assert verifyClass(ICertificateListener, MasterProtocol)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_the_right_certificate_is_served(server: Server, authority: Authority, name: str) -> None:
    assert await server.ask(authority.files("client"), name) == (b"word", None)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("client", "here", "there"),
    [
        ("none", "peer did not return a certificate", "the other side says: certificate required"),
        ("expired", "the client's certificate 'client' has expired", "the other side says: certificate expired"),
        (
            "foreign",
            "the client's certificate 'client' comes from an authority that is not among those of --tls-ca",
            "the other side says: unknown ca",
        ),
    ],
)
async def test_other_certificates_are_refused_with_the_reason_on_both_sides(
    server: Server, authority: Authority, tmp_path: Path, client: str, here: str, there: str
) -> None:
    if client == "none":
        files = TlsFiles(authorities=authority.file)
    elif client == "expired":
        files = authority.files("client", expired=True)
    else:
        files = TlsFiles(*Authority(tmp_path / "theirs").issue("client"), authorities=authority.file)
    ended = server.ended
    assert await server.ask(files) == (b"", there)
    refused, failed = await ended
    assert (refused or failed) == here


@pytest_twisted.ensureDeferred
async def test_the_name_of_the_server_is_checked(server: Server, authority: Authority) -> None:
    client = authority.files("client")
    for name in ("db.example.org", "127.0.0.9"):
        assert await server.ask(client, name) == (
            b"",
            f"the server's certificate is not for '{name}', but for 'localhost', '127.0.0.1': name one of them "
            f"with --tls-server-name, if that server is meant, or give the server a certificate for '{name}' in "
            f"its subject alternative name",
        )


@pytest_twisted.ensureDeferred
async def test_the_authority_of_the_server_is_checked(
    server: Server, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "theirs")
    for files in (
        TlsFiles(*authority.issue("client"), authorities=stranger.file),
        TlsFiles(*authority.issue("client")),
    ):
        assert await server.ask(files) == (b"", "certificate verify failed")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("version", [SSL.TLS1_1_VERSION, SSL.TLS1_2_VERSION])
async def test_tls_is_1_2_at_least(server: Server, authority: Authority, version: int) -> None:
    """A client that can do nothing newer, at the lowest level of security so that it may try."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_cipher_list(b"DEFAULT@SECLEVEL=0")
    context.set_max_proto_version(version)
    own = load_identity(authority.files("client"))
    assert own is not None
    context.use_certificate(own.certificate)
    context.use_privatekey(own.key)

    class Creator:
        def clientConnectionForTLS(self, _protocol: object) -> SSL.Connection:
            return SSL.Connection(context, None)

    from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
    from zope.interface import directlyProvides

    creator = Creator()
    directlyProvides(creator, IOpenSSLClientConnectionCreator)
    caller = Caller()
    factory = protocol.Factory.forProtocol(lambda: caller)  # type: ignore[arg-type]
    factory.noisy = False
    await endpoints.wrapClientTLS(creator, server.below()).connect(factory)  # type: ignore[arg-type]
    answer, failed = await caller.ended
    assert (answer == b"word") is (version == SSL.TLS1_2_VERSION)
    assert (failed is None) is (version == SSL.TLS1_2_VERSION)


@pytest_twisted.ensureDeferred
async def test_certificates_are_read_again_and_connections_stay(server: Server, authority: Authority) -> None:
    """A connection that is there goes on, the next one meets the new certificate."""
    client = authority.files("client")

    class Staying(Caller):
        came: Deferred[bytes] = Deferred()

        def dataReceived(self, data: bytes) -> None:
            came, self.came = self.came, Deferred()
            came.callback(data)

    stays = Staying()
    factory = protocol.Factory.forProtocol(lambda: stays)  # type: ignore[arg-type]
    factory.noisy = False
    first = stays.came
    await client_tls(server.reactor, server.below(), client, "localhost").connect(factory)
    assert await first == b"word"
    authority.issue("renewed.example.org", file="server")
    assert await server.ask(client, "renewed.example.org") == (b"word", None)
    assert (await server.ask(client))[0] == b""
    assert server.tls.status()["reloads"] == 1
    again = stays.came
    stays.transport.write(b"still there")
    assert await again == b"still there"
    stays.transport.loseConnection()
    await stays.ended


@pytest_twisted.ensureDeferred
async def test_half_of_a_renewal_changes_nothing(server: Server, authority: Authority) -> None:
    """The key comes before the certificate: until they fit together the old ones serve."""
    client = authority.files("client")
    certificate, key = authority.issue("localhost", file="new")
    os.replace(key, authority.folder / "server.key")
    assert await server.ask(client) == (b"word", None)
    assert "does not belong to the certificate" in str(server.tls.status()["error"])
    os.replace(certificate, authority.folder / "server.pem")
    assert await server.ask(client) == (b"word", None)
    assert (server.tls.status()["error"], server.tls.status()["reloads"]) == (None, 1)


def test_what_was_made_of_files_stays_until_they_are_whole(tmp_path: Path) -> None:
    clock, path, loads = Clock(), tmp_path / "file", []

    def load() -> str:
        loads.append(1)
        text = path.read_text()
        if text == "bad":
            raise UsageError("it is bad")
        return text

    path.write_text("one")
    made = Reloading(clock, [path], load)
    assert (made.current(), made.current(), len(loads)) == ("one", "one", 1)
    path.write_text("bad")
    assert (made.current(), made.error, len(loads)) == ("one", "it is bad", 2)
    made.current()
    assert len(loads) == 2, "a stranger's connections do not make it read a bad file each time"
    clock.advance(1)
    assert (made.current(), len(loads)) == ("one", 3)
    path.write_text("three")
    assert (made.current(), made.error, made.reloads) == ("three", None, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("no key", r"server.key cannot be read: No such file"),
        ("empty", r"server.pem holds no certificate in PEM"),
        ("damaged", r"server.pem holds a damaged certificate"),
        ("other key", r"server.key does not belong to the certificate in \S+server.pem"),
        ("no pem key", r"server.key holds no private key in PEM that can be read without a password"),
    ],
)
def test_what_is_wrong_with_files_is_said_at_the_start(authority: Authority, change: str, words: str) -> None:
    files = authority.files("localhost", file="server")
    assert files.certificate is not None
    assert files.key is not None
    if change == "no key":
        files.key.unlink()
    elif change == "empty":
        files.certificate.write_bytes(b"")
    elif change == "damaged":
        files.certificate.write_bytes(files.certificate.read_bytes().replace(b"MII", b"AII", 1))
    elif change == "other key":
        os.replace(authority.issue("other")[1], files.key)
    else:
        files.key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(UsageError, match=words):
        server_tls(Clock(), files)


def test_files_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="is of use with its certificate only"):
        TlsFiles(key=Path("a"))
    with pytest.raises(UsageError, match="nobody says whose"):
        TlsFiles(Path("a"), require_client=True)
    with pytest.raises(UsageError, match="who listens by TLS shows a certificate"):
        server_tls(Clock(), TlsFiles())


def test_without_the_packages_the_extra_is_named(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spgrepl.access.tls", None)
    with pytest.raises(UsageError, match=r"^TLS needs some more packages: pip install 'spgrepl\[tls\]'$"):
        server_tls(Clock(), authority.files("localhost"))
    certificate, key = authority.issue("server")
    with pytest.raises(UsageError, match=r"cannot be used: TLS needs some more packages"):
        server_endpoint(MemoryReactorClock(), f"ssl:0:privateKey={key}:certKey={certificate}")


def test_the_names_of_a_certificate(authority: Authority) -> None:
    own = load_identity(authority.files("a.example.org", "ops@example.org", "10.0.0.1"))
    assert own is not None
    assert names_of(own.certificate) == ["a.example.org", "ops@example.org"]


# -- endpoint strings ------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "form", ["tls:localhost:{port}:trustRoots={folder}", "ssl:localhost:{port}:caCertsDir={folder}"]
)
async def test_endpoint_strings_on_both_sides(authority: Authority, tmp_path: Path, form: str) -> None:
    """The files of both are read again: the client's for each connection, the server's when they change."""
    from twisted.internet import reactor

    certificate, key = authority.issue("localhost", file="server")
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "ca.pem").write_bytes(authority.file.read_bytes())
    listening = server_endpoint(reactor, f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}")
    holder = Server.__new__(Server)
    holder.ended = Deferred()
    factory = protocol.Factory.forProtocol(lambda: Echo(holder))  # type: ignore[arg-type]
    factory.noisy = False
    port: Any = await listening.listen(factory)
    connecting = client_endpoint(reactor, form.format(port=port.getHost().port, folder=trusted))
    assert verifyObject(IStreamClientEndpoint, connecting)

    async def ask() -> tuple[bytes, str | None]:
        caller = Caller()
        one = protocol.Factory.forProtocol(lambda: caller)  # type: ignore[arg-type]
        one.noisy = False
        await connecting.connect(one)
        return await caller.ended

    assert await ask() == (b"word", None)
    authority.issue("elsewhere.example.org", file="server")
    assert (await ask())[1] == "the server's certificate is for another name than 'localhost'"
    stranger = Authority(tmp_path / "theirs")
    stranger.issue("localhost")
    (certificate.write_bytes((stranger.folder / "localhost.pem").read_bytes()))
    key.write_bytes((stranger.folder / "localhost.key").read_bytes())
    assert (await ask())[1] == "certificate verify failed"
    (trusted / "ca.pem").write_bytes(stranger.file.read_bytes())
    assert await ask() == (b"word", None)
    await port.stopListening()


@pytest.mark.parametrize("more", ["sslmethod=TLSv1_METHOD", "dhParameters=/a", "extra"])
def test_what_an_endpoint_string_cannot_ask_for(authority: Authority, more: str) -> None:
    certificate, key = authority.issue("server")
    with pytest.raises(UsageError, match=r"has no meaning here; there are backlog, certKey"):
        server_endpoint(MemoryReactorClock(), f"ssl:0:privateKey={key}:certKey={certificate}:{more}")


# -- names of servers ---------------------------------------------------------------------------------------------


@pytest.fixture
def nameless(authority: Authority) -> Iterator[Server]:
    """A server whose certificate comes from the right authority, and names no host: a client's, say."""
    made = Server(TlsFiles(*authority.nameless("localhost")))
    yield made
    pytest_twisted.blockon(made.port.stopListening())


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_interfaces_of_names() -> None:
    assert verifyClass(IOpenSSLClientConnectionCreator, CheckedConnections)
    assert verifyClass(IHandshakeListener, _CheckedProtocol)
    assert verifyClass(IStreamClientEndpoint, CheckedEndpoint)


@pytest.mark.parametrize(
    "name", ["db.example.org", "DB.example.org", "a.wild.example", "10.0.0.7", "fd00::7", "bücher.example"]
)
def test_the_names_that_a_certificate_has(authority: Authority, name: str) -> None:
    made, _ = authority.issue("db.example.org", "*.wild.example", "10.0.0.7", "fd00::7", "xn--bcher-kva.example")
    check_server_name(certificate(made), name)


@pytest.mark.parametrize("name", ["example.org", "a.b.wild.example", "10.0.0.8", "fd00::8", "", "a" * 300])
def test_other_names(authority: Authority, name: str) -> None:
    made, _ = authority.issue("db.example.org", "*.wild.example", "10.0.0.7", "fd00::7")
    with pytest.raises(
        WrongServerName, match=r"but for 'db.example.org', '\*.wild.example', '10.0.0.7', 'fd00::7'"
    ):
        check_server_name(certificate(made), name)


def test_a_common_name_is_no_name(authority: Authority) -> None:
    made, _ = authority.nameless("db.example.org")
    with pytest.raises(WrongServerName, match="for no other host or address"):
        check_server_name(certificate(made), "db.example.org")


def test_addresses_and_names() -> None:
    assert [is_address(one) for one in ("10.0.0.7", "fd00::7", "localhost", "10.0.0")] == [
        True,
        True,
        False,
        False,
    ]
    assert in_ascii("bücher.example") == "xn--bcher-kva.example"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_a_server_whose_certificate_names_no_host_is_refused(
    nameless: Server, authority: Authority, name: str
) -> None:
    answer, told = await nameless.ask(TlsFiles(authorities=authority.file), name)
    assert answer == b""
    assert told is not None
    assert told.startswith(f"the server's certificate is not for '{name}', and for no other host or address")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "form", ["tls:localhost:{port}:trustRoots={folder}", "ssl:localhost:{port}:caCertsDir={folder}"]
)
async def test_so_it_is_where_an_endpoint_string_says_tls(
    nameless: Server, authority: Authority, tmp_path: Path, form: str, logged_failures: LoggedFailures
) -> None:
    from twisted.internet import reactor

    trusted = tmp_path / "trusted"
    trusted.mkdir()
    (trusted / "ca.pem").write_bytes(authority.file.read_bytes())
    caller = Caller()
    factory: Any = protocol.Factory.forProtocol(lambda: caller)  # type: ignore[arg-type]
    factory.noisy = False
    made = await client_endpoint(reactor, form.format(port=nameless.port.getHost().port, folder=trusted)).connect(
        factory
    )
    assert made is caller
    answer, told = await caller.ended
    logged_failures.flush(CertificateError)  # Twisted of some versions logs it, and lets it pass
    assert answer == b""
    assert told is not None
    assert "for no other host or address" in told

"""Connections by TLS 1.2 or newer, on either side, whose certificates are read again when their files change.

Twisted's own check of a server's name lets a certificate pass that names no host at all: such as a client's, which
the same authority has issued. So the name is judged here, in any case and again where Twisted has judged it.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.access.failures import WrongServerName
from spgrepl.access.interfaces import ICertificateListener, IServerTls
from spgrepl.access.pem import hosts_of, load_certificates, load_identity, names_of
from spgrepl.access.reloading import Reloading
from spgrepl.access.tls_files import TlsFiles
from spgrepl.errors import UsageError

_REASONS = {
    9: "is not valid yet",
    10: "has expired",
    18: "is signed by itself",
    19: "comes from an authority that is not among those of --tls-ca",
    20: "comes from an authority that is not among those of --tls-ca",
    21: "comes from an authority that is not among those of --tls-ca",
    23: "was revoked",
    26: "is not made for this purpose: a client's needs the use clientAuth, where it names any",
}


@implementer(IServerTls, IOpenSSLServerConnectionCreator)
class ServerTls:
    """The TLS of a port that listens.

    Args:
        clock: The reactor, or a clock.
        files: Its certificate and key, and whose clients are taken.

    Raises:
        UsageError: TLS needs packages that are not there, or a file is not what it should be.
    """

    def __init__(self, clock: IReactorTime, files: TlsFiles) -> None:
        if files.certificate is None:
            raise UsageError("who listens by TLS shows a certificate: name it, and its key")
        self._clock = clock
        self._files = files
        self._context = Reloading(clock, files.paths, self._load)

    @property
    def requires_client(self) -> bool:
        """Whether every client has shown a certificate of a known authority."""
        return self._files.require_client

    def _load(self) -> tuple[Any, str]:
        own = load_identity(self._files)
        assert own is not None
        trusted = _trust(self._files)
        context = ssl.CertificateOptions(
            privateKey=own.key,
            certificate=own.certificate,
            extraCertChain=own.chain,
            trustRoot=trusted,
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        ).getContext()
        if trusted is not None:
            required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if self._files.require_client else 0
            context.set_verify(SSL.VERIFY_PEER | required, _judge)
        return context, own.certificate.not_valid_after_utc.isoformat()

    def serverConnectionForTLS(self, protocol: Any) -> Any:
        """See `IOpenSSLServerConnectionCreator`."""
        connection = SSL.Connection(self._context.current()[0], None)
        connection.set_app_data(protocol)
        return connection

    def wrap(self, factory: IProtocolFactory) -> IProtocolFactory:
        """See `IServerTls`."""
        wrapped: IProtocolFactory = TLSMemoryBIOFactory(self, False, factory, clock=self._clock)
        return wrapped

    def status(self) -> dict[str, object]:
        """See `IServerTls`."""
        return {
            "certificate_expires": self._context.current()[1],
            "client_certificates": self._files.require_client,
            "reloads": self._context.reloads,
            "error": self._context.error,
        }


def _judge(connection: Any, certificate: Any, number: int, depth: int, good: int) -> bool:
    """OpenSSL's word on one certificate of a client's chain is final; tell the protocol why, where it is no."""
    if not good:
        listener = getattr(connection.get_app_data(), "wrappedProtocol", None)
        if ICertificateListener.providedBy(listener):
            whose = "the client's certificate" if depth == 0 else "a certificate of the client's chain"
            names = names_of(certificate.to_cryptography())
            named = f" {names[0][:100]!r}" if names else ""
            why = _REASONS.get(number, f"is not valid (error {number} of OpenSSL)")
            listener.certificate_refused(f"{whose}{named} {why}")
    return bool(good)


def _trust(files: TlsFiles) -> Any:
    """The authorities whose certificates are taken; None where none are named."""
    if files.authorities is None:
        return None
    return ssl.trustRootFromCertificates(
        [ssl.Certificate.loadPEM(one.public_bytes(Encoding.PEM)) for one in load_certificates(files.authorities)]
    )


@implementer(IStreamClientEndpoint)
class TlsClientEndpoint:
    """An endpoint that speaks TLS, and checks that the server is the one that it was meant to be.

    Args:
        reactor: The reactor.
        endpoint: Makes the connection below.
        files: The authorities that the server's certificate may come from, and this side's own certificate.
        server_name: The name or IP address that the server's certificate must have.

    Raises:
        UsageError: TLS needs packages that are not there, or a file is not what it should be.
    """

    def __init__(
        self, reactor: IReactorTime, endpoint: IStreamClientEndpoint, files: TlsFiles, server_name: str
    ) -> None:
        self._clock = reactor
        self._endpoint = endpoint
        self._files = files
        self._name = server_name
        self._options = Reloading(reactor, files.paths, self._load)

    def _load(self) -> Any:
        own = load_identity(self._files)
        shown = {}
        if own is not None:
            shown = {"privateKey": own.key, "certificate": own.certificate, "extraCertChain": own.chain}
        trusted = _trust(self._files)
        context = ssl.CertificateOptions(
            trustRoot=ssl.platformTrust() if trusted is None else trusted,
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
            **shown,
        ).getContext()
        return CheckedConnections(context, self._name)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`. What is wrong with a certificate ends the connection later."""
        wrapped = TLSMemoryBIOFactory(self._options.current(), True, protocolFactory, clock=self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(wrapped)
        return connecting.addCallback(lambda outer: outer.wrappedProtocol)


def check_server_name(certificate: x509.Certificate, name: str) -> None:
    """See that a server's certificate is for a name or an address.

    Args:
        certificate: The certificate, which an authority vouches for.
        name: The host or IP address that the server must be.

    Raises:
        WrongServerName: It is not, or names nothing that can be read.
    """
    try:
        if is_address(name):
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, in_ascii(name))
    except (VerificationError, CertificateError, ValueError) as error:
        raise WrongServerName(name, hosts_of(certificate)) from error


def is_address(name: str) -> bool:
    """Whether a name is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def in_ascii(name: str) -> str:
    """A host's name as it stands in certificates."""
    return name if name.isascii() else name.encode("idna").decode("ascii")


@implementer(IOpenSSLClientConnectionCreator)
class CheckedConnections:
    """Makes connections of OpenSSL on which the server's name is checked during the handshake.

    Args:
        context: Whose certificates are trusted, and what this side shows.
        name: The host or IP address that the server must be.
    """

    def __init__(self, context: Any, name: str) -> None:
        self._context = context
        self._name = name

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Any:  # noqa: N803
        """See `IOpenSSLClientConnectionCreator`."""
        connection = SSL.Connection(self._context, None)
        connection.set_app_data(tlsProtocol)
        if not is_address(self._name):  # an address is not sent as a name
            connection.set_tlsext_host_name(in_ascii(self._name).encode("ascii"))
        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._judge)
        return connection

    def _judge(self, connection: Any, certificate: Any, _number: int, depth: int, good: int) -> bool:
        """OpenSSL's word on a chain is final; of the server's own certificate the name counts, too."""
        if depth == 0 and good:
            try:
                check_server_name(certificate.to_cryptography(), self._name)
            except Exception:  # noqa: BLE001 - told as the reason of the end; whatever it is, nobody is trusted
                connection.get_app_data().failVerification(Failure())
                return False
        return bool(good)


@implementer(IHandshakeListener)
class _CheckedProtocol(ProtocolWrapper):
    """Between TLS and a protocol: ends a connection whose server has another name."""

    def handshakeCompleted(self) -> None:
        """See `IHandshakeListener`; nothing that the server says has been handed on yet."""
        transport: Any = self.transport
        try:
            check_server_name(transport.getPeerCertificate().to_cryptography(), self.factory.server_name)
        except Exception:  # noqa: BLE001 - as above
            transport.failVerification(Failure())


class _CheckedFactory(WrappingFactory):
    """Makes such protocols.

    Attributes:
        server_name: The name that the server's certificate must have.
    """

    protocol = _CheckedProtocol
    noisy = False
    server_name = ""


@implementer(IStreamClientEndpoint)
class CheckedEndpoint:
    """An endpoint of Twisted's that speaks TLS, and on which the server's name is checked once more.

    Args:
        endpoint: The endpoint.
        name: The host or IP address that the server must be.
    """

    def __init__(self, endpoint: IStreamClientEndpoint, name: str) -> None:
        self._endpoint = endpoint
        self._name = name

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`. A wrong name ends the connection later."""
        factory = _CheckedFactory(protocolFactory)  # type: ignore[no-untyped-call]
        factory.server_name = self._name
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda outer: outer.wrappedProtocol)

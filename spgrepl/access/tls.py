"""Connections by TLS 1.2 or newer, on either side, whose certificates are read again when their files change."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from spgrepl.access.interfaces import ICertificateListener, IServerTls
from spgrepl.access.pem import load_certificates, load_identity, names_of
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
        return ssl.optionsForClientTLS(
            self._name,
            trustRoot=_trust(self._files),
            extraCertificateOptions={"raiseMinimumTo": ssl.TLSVersion.TLSv1_2, **shown},
        )

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; see `IStreamClientEndpoint`. What is wrong with a certificate ends the connection later."""
        wrapped = TLSMemoryBIOFactory(self._options.current(), True, protocolFactory, clock=self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(wrapped)
        return connecting.addCallback(lambda outer: outer.wrappedProtocol)

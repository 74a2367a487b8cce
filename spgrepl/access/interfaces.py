"""What the parts of this package ask of others."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolFactory
from zope.interface import Attribute, Interface


class ICertificateListener(Interface):
    """A protocol that is told why its peer's certificate is refused, before its connection ends."""

    def certificate_refused(reason: str) -> None:
        """The certificate is not taken, for this reason in words."""


class IServerTls(Interface):
    """The TLS of a port that listens."""

    requires_client: bool = Attribute("Whether every client has shown a certificate of a known authority.")

    def wrap(factory: IProtocolFactory) -> IProtocolFactory:
        """A factory whose connections speak TLS, and inside of it what another factory's do."""

    def status() -> dict[str, object]:
        """What the status says: the end of the certificate, how often it was read again, what is wrong."""

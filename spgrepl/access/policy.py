"""Who may connect at all: this machine, whoever shows a certificate, or, where the operator says so, everybody."""

from __future__ import annotations

import attrs

from spgrepl.access.client import Client
from spgrepl.access.places import is_local
from spgrepl.access.rights import EVERYTHING, NOTHING, AccessFile, AccessTable, Rights
from spgrepl.errors import ConfigurationError


@attrs.frozen
class Access:
    """Who may connect to a master, or to a follower that listens.

    Attributes:
        insecure: Whether a port may be reached from other machines without TLS and certificates of its clients.
        table: What each client may do. Without one whoever may connect may have everything: this machine, whoever
            has shown a certificate, and where it is insecure everybody.
    """

    insecure: bool = False
    table: AccessTable | AccessFile | None = None

    def rights_of(self, client: Client) -> Rights:
        """What a client may have: what the table says, and without one all where it may connect at all."""
        if self.table is not None:
            return self.table.rights_of(client)
        return EVERYTHING if self.insecure or client.names or is_local(client.address) else NOTHING

    def check_port(self, address: object, certificates: bool) -> None:
        """Judge whether one may listen there.

        Args:
            address: Where, as Twisted or `spgrepl.access.endpoint_words` has it.
            certificates: Whether every client has to show a certificate.

        Raises:
            ConfigurationError: Other machines can connect there, and nobody is kept out.
        """
        if not (self.insecure or certificates or is_local(address)):
            where = getattr(address, "host", address)
            raise ConfigurationError(
                f"other machines can connect to {where}, and whoever does reads everything: listen on 127.0.0.1, "
                f"on ::1 or on unix:/path; or demand certificates, with --tls-cert, --tls-key, --tls-ca and "
                f"--tls-require-client-cert; or say --insecure"
            )

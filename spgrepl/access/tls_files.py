"""Which files TLS works with."""

from __future__ import annotations

from pathlib import Path

import attrs

from spgrepl.errors import UsageError


@attrs.frozen
class TlsFiles:
    """The files that one side of a connection by TLS works with, all in PEM.

    Attributes:
        certificate: This side's certificate, then those between it and its authority's.
        key: Its private key, without a password; None where it is in the certificate's file.
        authorities: The certificates of the authorities that the other side's certificate has to come from. None
            takes none from clients, and of a server what this system trusts.
        require_client: Whether a server turns clients away that show no certificate.
        chain: The certificates between this side's and its authority's, where they are in a file of their own.
    """

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    require_client: bool = False
    chain: Path | None = None

    def __attrs_post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            raise UsageError(f"the key {self.key} is of use with its certificate only: name that too")
        if self.require_client and self.authorities is None:
            raise UsageError(
                "certificates of clients are required, and nobody says whose: name the authorities' certificates"
            )

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are named."""
        named = (self.certificate, self.key, self.authorities, self.chain)
        return tuple(path for path in named if path is not None)

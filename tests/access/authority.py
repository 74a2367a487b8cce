"""Certificates for tests: an authority, and what it issues, in PEM files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trustme

from spgrepl.access.tls_files import TlsFiles


class Authority:
    """A certificate authority of its own, whose files lie in a folder.

    Args:
        folder: The folder, which is made.

    Attributes:
        file: Its own certificate.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, *names: str, file: str | None = None, expired: bool = False) -> tuple[Path, Path]:
        """Issue a certificate for some names; returns the paths of it and of its key."""
        more: dict[str, Any] = {}
        if expired:
            more = {"not_before": datetime(2020, 1, 1, tzinfo=UTC), "not_after": datetime(2021, 1, 1, tzinfo=UTC)}
        made = self._ca.issue_cert(*names, common_name=names[0], key_type=trustme.KeyType.ECDSA, **more)
        stem = file or names[0]
        certificate, key = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        return certificate, key

    def files(self, *names: str, **more: Any) -> TlsFiles:
        """The files of one who has a certificate of this authority, and takes those of its own."""
        return TlsFiles(*self.issue(*names, **more), authorities=self.file)

"""Certificates for tests: an authority, and what it issues, in PEM files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

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

    def nameless(self, common_name: str) -> tuple[Path, Path]:
        """Issue a certificate that names no host at all, but has a common name; returns paths as `issue`."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        own = load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        assert isinstance(own, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
            .issuer_name(x509.load_pem_x509_certificate(self._ca.cert_pem.bytes()).subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(own, SHA256())
        )
        paths = self.folder / f"{common_name}.pem", self.folder / f"{common_name}.key"
        paths[0].write_bytes(made.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return paths

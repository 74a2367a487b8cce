"""What is in PEM files, and in a certificate. Needs the extra ``tls``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from spgrepl.access.tls_files import TlsFiles
from spgrepl.base.small_files import read_small
from spgrepl.errors import UsageError

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@attrs.frozen
class Identity:
    """A certificate and its key, as `cryptography` has them.

    Attributes:
        certificate: The certificate.
        key: Its private key.
        chain: The certificates between it and its authority's.
    """

    certificate: Any  # Twisted says pyOpenSSL's type, and hands on whatever that takes
    key: Any
    chain: Any


def load_identity(files: TlsFiles) -> Identity | None:
    """Read this side's certificate and key; None where none is named.

    Raises:
        UsageError: A file cannot be read, or does not hold what it should; the two are checked against each other.
    """
    if files.certificate is None:
        return None
    first, *chain = load_certificates(files.certificate)
    if files.chain is not None:
        chain += load_certificates(files.chain)
    path = files.key or files.certificate
    try:
        key = load_pem_private_key(_read(path), None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} holds no private key in PEM that can be read without a password") from error
    if key.public_key() != first.public_key():
        raise UsageError(f"the private key in {path} does not belong to the certificate in {files.certificate}")
    return Identity(first, key, chain)


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read all certificates of a file, at least one.

    Raises:
        UsageError: The file cannot be read, or holds none.
    """
    found = _CERTIFICATE.findall(_read(path))
    if not found:
        raise UsageError(f"{path} holds no certificate in PEM")
    try:
        return x509.load_pem_x509_certificates(b"\n".join(found))
    except ValueError as error:
        raise UsageError(f"{path} holds a damaged certificate") from error


def _read(path: Path) -> bytes:
    try:
        return read_small(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def names_of(certificate: x509.Certificate) -> list[str]:
    """All names that a certificate has: those of its subject alternative name, then its common name."""
    names: list[str] = []
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for kind in (x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name):
            names += found.get_values_for_type(kind)
    except (x509.ExtensionNotFound, ValueError):
        pass
    names += (str(one.value) for one in certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
    return list(dict.fromkeys(names))


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """The hosts and addresses that a server's certificate is for; a common name is none."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = found.get_values_for_type(x509.DNSName)
    return list(dict.fromkeys([*names, *map(str, found.get_values_for_type(x509.IPAddress))]))

"""Which files TLS works with."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.access.tls_files import TlsFiles
from spgrepl.errors import UsageError

A, B, C = Path("a.pem"), Path("b.key"), Path("ca.pem")


def test_a_key_alone_is_of_no_use() -> None:
    with pytest.raises(UsageError, match=r"the key b\.key is of use with its certificate only"):
        TlsFiles(key=B)


def test_somebody_has_to_say_whose_certificates_are_required() -> None:
    with pytest.raises(UsageError, match="nobody says whose"):
        TlsFiles(A, B, require_client=True)
    TlsFiles(A, B, C, require_client=True)


def test_all_files_that_are_named() -> None:
    assert TlsFiles().paths == ()
    assert TlsFiles(A, authorities=C, chain=B).paths == (A, C, B)

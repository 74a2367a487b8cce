"""How TLS fails, in words."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from spgrepl.access.failures import describe_tls_failure

SSL = pytest.importorskip("OpenSSL.SSL")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SSL.Error([("SSL routines", "", "certificate verify failed")]), "certificate verify failed"),
        (SSL.Error([("SSL routines", "", "tlsv1 alert unknown ca")]), "the other side says: unknown ca"),
        (SSL.Error([]), "it failed, and OpenSSL does not say why"),
        (SSL.Error(), "it failed, and OpenSSL does not say why"),
    ],
)
def test_what_openssl_says(error: Exception, text: str) -> None:
    assert describe_tls_failure(Failure(error)) == text


def test_a_certificate_for_another_name() -> None:
    from service_identity import VerificationError

    told = describe_tls_failure(Failure(VerificationError(errors=[])))
    assert told is not None
    assert "for another name" in told


def test_an_end_for_another_reason_is_not_tls() -> None:
    assert describe_tls_failure(Failure(ConnectionLost())) is None

"""How TLS fails, in words."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from spgrepl.access.failures import WrongServerName, describe_tls_failure

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
    assert "for another name than the one that was asked for" in told


@pytest.mark.parametrize("name", ["db.example", "10.0.0.7"])
def test_the_name_that_twisted_has_asked_for(name: str) -> None:
    from service_identity import VerificationError
    from service_identity.exceptions import DNSMismatch
    from service_identity.hazmat import DNS_ID, IPAddress_ID

    wanted = DNS_ID(name) if "example" in name else IPAddress_ID(name)
    error = VerificationError(errors=[DNSMismatch(wanted)])
    assert describe_tls_failure(Failure(error)) == f"the server's certificate is for another name than '{name}'"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (["a.example", "10.0.0.7"], "not for 'db.example', but for 'a.example', '10.0.0.7': name one of them"),
        (
            [],
            "not for 'db.example', and for no other host or address (a common name alone does not count): give",
        ),
        ([f"n{number}" for number in range(12)], "'n8', 'n9' and 2 more: "),
    ],
)
def test_which_name_was_wanted_and_which_were_found(found: list[str], text: str) -> None:
    told = describe_tls_failure(Failure(WrongServerName("db.example", found)))
    assert told is not None
    assert text in told


def test_an_end_for_another_reason_is_not_tls() -> None:
    assert describe_tls_failure(Failure(ConnectionLost())) is None

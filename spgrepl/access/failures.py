"""How TLS fails, in words; without the packages that TLS needs."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure


def describe_tls_failure(failure: Failure) -> str | None:
    """Say in words how TLS failed; None where a connection has ended for another reason."""
    error: Any = failure.value
    module = type(error).__module__
    if module.startswith("service_identity"):
        return "the server's certificate is for another name than the one that was asked for"
    if not module.startswith("OpenSSL"):
        return None
    said = error.args[0] if error.args else ()
    if not isinstance(said, list | tuple) or not said:
        return "it failed, and OpenSSL does not say why"
    words = str(said[0][-1])
    if "alert" in words:
        return f"the other side says: {words.partition('alert ')[2] or words}"
    return words

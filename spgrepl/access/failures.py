"""How TLS fails, in words; without the packages that TLS needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.python.failure import Failure

_MOST_NAMES = 10


class WrongServerName(Exception):
    """A server's certificate is not for the name that was asked for.

    Args:
        wanted: That name.
        found: The names that the certificate is for.
    """

    def __init__(self, wanted: str, found: Sequence[str]) -> None:
        shown = ", ".join(repr(name[:100]) for name in found[:_MOST_NAMES])
        more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
        if found:
            names = f"but for {shown}{more}: name one of them with --tls-server-name, if that server is meant, or"
        else:
            names = "and for no other host or address (a common name alone does not count):"
        super().__init__(
            f"the server's certificate is not for {wanted!r}, {names} give the server a certificate for "
            f"{wanted!r} in its subject alternative name"
        )


def describe_tls_failure(failure: Failure) -> str | None:
    """Say in words how TLS failed; None where a connection has ended for another reason."""
    error: Any = failure.value
    if isinstance(error, WrongServerName):
        return str(error)
    module = type(error).__module__
    if module.startswith("service_identity"):
        return f"the server's certificate is for another name than {_wanted(error)}"
    if not module.startswith("OpenSSL"):
        return None
    said = error.args[0] if error.args else ()
    if not isinstance(said, list | tuple) or not said:
        return "it failed, and OpenSSL does not say why"
    words = str(said[0][-1])
    if "alert" in words:
        return f"the other side says: {words.partition('alert ')[2] or words}"
    return words


def _wanted(error: Any) -> str:
    """The name that was asked for, where `service_identity` tells it."""
    for one in getattr(error, "errors", ()):
        wanted = one.mismatched_id
        name = getattr(wanted, "hostname", None) or getattr(wanted, "ip", None)
        if name is not None:
            return f"{name.decode('ascii', 'replace') if isinstance(name, bytes) else str(name)!r}"
    return "the one that was asked for"

"""Whether a request that changes something comes from whoever may do so, and from no web page."""

from __future__ import annotations

import hmac

from twisted.internet.address import UNIXAddress
from twisted.web.http_headers import Headers

from spgrepl.watch.http_headers import header_values

# A browser sends these with whatever a page makes it post; programs have no reason to.
_OF_BROWSERS = ("origin", "referer", "sec-fetch-site", "sec-fetch-mode")
# A proxy on this machine would pass on the requests of others.
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_CONTENT_TYPES = ("text/plain", "application/sql")


def judge_sender(client: object, headers: Headers, token: str | None) -> tuple[int, str] | None:
    """Say why a request is refused.

    Args:
        client: The address of the connection's other end.
        headers: The request's headers.
        token: What a request over TCP has to show; None takes none over TCP.

    Returns:
        The HTTP status code and the reason; None where nothing is against the request.
    """
    if not isinstance(client, UNIXAddress):
        if token is None:
            return 403, (
                "statements are taken at the control socket beside the log, and over TCP with a token only: this "
                "server was started without --http-token-file"
            )
        given = headers.getRawHeaders(b"authorization", [b""])[0]
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return 401, (
                "statements are taken at the control socket beside the log, and over TCP with the token of "
                "--http-token-file in a header `Authorization: Bearer …`"
            )
    for name in _OF_BROWSERS:
        if headers.hasHeader(name):
            return 403, f"statements are not taken from web pages, and this request has the header {name!r}"
    for name in _OF_PROXIES:
        if headers.hasHeader(name):
            return 403, f"statements are not taken through a proxy, and this request has the header {name!r}"
    for value in header_values(headers, "content-type"):
        kind = value.partition(";")[0].strip().lower()
        if kind not in _CONTENT_TYPES:
            return 415, f"the content type is {kind!r}: expected {' or '.join(_CONTENT_TYPES)}, or none"
    return None

"""Whether a request that changes something comes from a program on this machine, and from no web page."""

from __future__ import annotations

import ipaddress

from twisted.internet.address import UNIXAddress
from twisted.web.http_headers import Headers

# A browser sends these with whatever a page makes it post; programs have no reason to.
_OF_BROWSERS = ("origin", "referer", "sec-fetch-site", "sec-fetch-mode")
# A proxy on this machine would pass on the requests of others.
_OF_PROXIES = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_CONTENT_TYPES = ("text/plain", "application/sql")


def judge_sender(client: object, headers: Headers) -> tuple[int, str] | None:
    """Say why a request is refused.

    Args:
        client: The address of the connection's other end.
        headers: The request's headers.

    Returns:
        The HTTP status code and the reason; None where nothing is against the request.
    """
    if not is_local(client):
        host = getattr(client, "host", client)
        return 403, (
            f"statements are taken from this machine only, and this one comes from {host}: send it to 127.0.0.1, "
            f"to ::1, or to the control socket beside the log"
        )
    for name in _OF_BROWSERS:
        if headers.hasHeader(name):
            return 403, f"statements are not taken from web pages, and this request has the header {name!r}"
    for name in _OF_PROXIES:
        if headers.hasHeader(name):
            return 403, f"statements are not taken through a proxy, and this request has the header {name!r}"
    for value in headers.getRawHeaders("content-type", ()):
        kind = value.partition(";")[0].strip().lower()
        if kind not in _CONTENT_TYPES:
            return 415, f"the content type is {kind!r}: expected {' or '.join(_CONTENT_TYPES)}, or none"
    return None


def is_local(client: object) -> bool:
    """Whether an address is a UNIX socket's or one of the loopback interface."""
    if isinstance(client, UNIXAddress):
        return True
    host = getattr(client, "host", None)
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    # On a socket for both, an IPv4 address stands inside an IPv6 one.
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)

"""Headers of requests, whatever bytes a client puts there."""

from __future__ import annotations

from twisted.web.http_headers import Headers


def header_values(headers: Headers, name: str) -> list[str]:
    """The values of a header; bytes that are not UTF-8 are shown as their hex digits.

    Args:
        headers: The request's headers.
        name: The header's name.
    """
    # Twisted decodes them strictly where they are asked for by a name that is text.
    return [value.decode("utf-8", "backslashreplace") for value in headers.getRawHeaders(name.encode(), [])]

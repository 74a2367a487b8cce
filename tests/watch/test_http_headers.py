"""Headers of requests, whatever bytes a client puts there."""

from __future__ import annotations

from twisted.web.http_headers import Headers

from spgrepl.watch.http_headers import header_values


def test_bytes_that_are_not_utf8_are_shown() -> None:
    headers = Headers({b"X-Name": [b"plain", "é".encode(), b"\xff"]})
    assert header_values(headers, "x-name") == ["plain", "é", "\\xff"]
    assert header_values(headers, "other") == []

"""A resource that is only asked."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyRequest

from spgrepl.watch.leaf import Leaf


class Hello(Leaf):
    def body(self, request: Request) -> bytes:
        return b"hello"


def answer(method: bytes) -> tuple[Any, bytes]:
    request = DummyRequest([b""])
    request.method = method
    return request, Hello().render(request)


@pytest.mark.parametrize(("method", "body"), [(b"GET", b"hello"), (b"HEAD", b"")])
def test_it_is_asked(method: bytes, body: bytes) -> None:
    request, found = answer(method)
    assert found == body
    assert request.responseCode in (None, 200)
    assert request.responseHeaders.getRawHeaders(b"cache-control") == [b"no-store"]
    if method == b"HEAD":
        assert request.responseHeaders.getRawHeaders(b"content-length") == [b"5"]


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"BREW"])
def test_and_nothing_else(method: bytes) -> None:
    request, found = answer(method)
    assert request.responseCode == 405
    assert request.responseHeaders.getRawHeaders(b"allow") == [b"GET, HEAD"]
    assert b"hello" not in found

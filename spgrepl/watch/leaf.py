"""A resource that is only asked."""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.web.resource import Resource
from twisted.web.server import Request


class Leaf(Resource, ABC):
    """Answers GET and HEAD with a body that is there at once."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @abstractmethod
    def body(self, request: Request) -> bytes:
        """Set the code and the headers of the answer, and return its body."""

    def render(self, request: Request) -> bytes:
        """Answer a request of any method."""
        if request.method not in (b"GET", b"HEAD"):
            request.setResponseCode(405)
            request.setHeader(b"allow", b"GET, HEAD")
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
            return b"this is only asked for: use GET\n"
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"x-content-type-options", b"nosniff")
        body = self.body(request)
        if request.method == b"HEAD":  # Twisted would complain of a body in the log
            request.setHeader(b"content-length", b"%d" % len(body))
            return b""
        return body

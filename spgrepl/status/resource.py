"""What a server tells over HTTP: ``/status``, and ``/wait`` for a position.

Both answer JSON. The status is a snapshot of what the services know and costs nothing to ask for; a wait holds its
request open until the position is applied, its time is over, or the client goes away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from spgrepl.errors import ServiceStopped, SpgReplError, UsageError, WaitTimeout
from spgrepl.options import parse_position, parse_seconds

DEFAULT_WAIT = 30.0
"""Seconds that ``/wait`` waits where the request names none."""

LONGEST_WAIT = 3600.0
"""The most seconds that one request may wait."""

MOST_WAITS = 1000
"""How many requests may wait at once; one more is answered 503."""

StatusSource = Callable[[], Mapping[str, object]]
WaitSource = Callable[[int, float], "Deferred[int]"]


def build_site(reactor: IReactorTime, status: StatusSource, wait: WaitSource) -> Site:
    """Make the site with ``/status`` and ``/wait``.

    ``GET /wait?position=N&timeout=S`` answers 200 with ``{"applied": M}`` when position N is applied, 504 when S
    seconds (30 where not stated) went by first, 400 where the arguments are wrong, 503 when the server stops or
    too many requests wait already.

    Args:
        reactor: For the timeouts of idle connections.
        status: Returns what ``/status`` shows; called in the reactor's thread.
        wait: Called with a position and a timeout in seconds; its Deferred fires with the applied position, or
            fails with `WaitTimeout` or `ServiceStopped`. It is cancelled when the client goes away.
    """
    root = _Root()  # type: ignore[no-untyped-call]
    root.putChild(b"status", _StatusResource(status))
    root.putChild(b"wait", _WaitResource(wait))
    return _QuietSite(root, reactor=reactor, timeout=60)  # type: ignore[no-untyped-call]


class _QuietSite(Site):
    """A site that does not log each request: a monitor asks every few seconds."""

    displayTracebacks = False  # noqa: N815 - twisted.web's name

    def log(self, request: object) -> None:
        """Log nothing."""


def _answer(request: Request, code: int, content: Mapping[str, object]) -> bytes:
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"application/json; charset=utf-8")
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")
    return json.dumps(content, ensure_ascii=False, indent=1, default=str).encode() + b"\n"


class _JsonResource(Resource):
    """A leaf that answers GET and HEAD."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def render(self, request: Request) -> bytes | int:
        """Answer a request of any method."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return _answer(request, 405, {"error": "this server is only asked: use GET"})
        return self._get(request)

    def _get(self, request: Request) -> bytes | int:
        return _answer(request, 404, {"error": "there are /status and /wait?position=N&timeout=S"})


class _Root(Resource):
    """Says what there is to whoever asks for something else."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return what answers for a path that has no child."""
        return _JsonResource()  # type: ignore[no-untyped-call]


class _StatusResource(_JsonResource):
    _log = Logger()

    def __init__(self, status: StatusSource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._status = status

    def _get(self, request: Request) -> bytes:
        try:
            return _answer(request, 200, self._status())
        except Exception:  # noqa: BLE001 - whatever a service does, the monitor gets an answer and the log a reason
            self._log.failure("the status could not be made")
            return _answer(request, 500, {"error": "the status could not be made; the server's log says why"})


class _WaitResource(_JsonResource):
    _log = Logger()

    def __init__(self, wait: WaitSource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._wait = wait
        self._waiting = 0

    def _get(self, request: Request) -> bytes | int:
        try:
            position, timeout = _wait_arguments(request)
        except UsageError as error:
            return _answer(request, 400, {"error": str(error)})
        if self._waiting >= MOST_WAITS:
            return _answer(request, 503, {"error": f"{MOST_WAITS} requests wait already; try again"})
        self._waiting += 1
        gone: list[bool] = []
        waiting = self._wait(position, timeout)

        def client_left(_: Failure) -> None:
            gone.append(True)
            waiting.cancel()

        def finish(code: int, content: Mapping[str, object]) -> None:
            if not gone:
                request.write(_answer(request, code, content))
                request.finish()

        request.notifyFinish().addErrback(client_left)
        waiting.addBoth(self._no_longer_waiting)
        waiting.addCallbacks(lambda applied: finish(200, {"applied": applied}), lambda why: finish(*_refusal(why)))
        waiting.addErrback(self._failed, finish)
        return NOT_DONE_YET

    def _no_longer_waiting(self, result: object) -> object:
        self._waiting -= 1
        return result

    def _failed(self, failure: Failure, finish: Callable[[int, Mapping[str, object]], None]) -> None:
        if isinstance(failure.value, CancelledError):
            return
        self._log.failure("waiting for a position failed", failure)
        finish(500, {"error": "waiting failed; the server's log says why"})


def _refusal(failure: Failure) -> tuple[int, Mapping[str, object]]:
    """What to answer where the wait failed in one of the ways that are foreseen."""
    error = failure.value
    if not isinstance(error, SpgReplError):
        failure.raiseException()
    if isinstance(error, WaitTimeout):
        return 504, {"error": str(error)}
    return 503 if isinstance(error, ServiceStopped) else 500, {"error": str(error)}


def _wait_arguments(request: Request) -> tuple[int, float]:
    values: dict[str, str] = {}
    for name, given in (request.args or {}).items():
        if name not in (b"position", b"timeout") or len(given) != 1:
            raise UsageError(f"{name.decode('utf-8', 'replace')!r} is unknown or given twice")
        values[name.decode()] = given[0].decode("utf-8", "replace")
    if "position" not in values:
        raise UsageError("'position' is missing: ask for /wait?position=N&timeout=S")
    timeout = parse_seconds(values["timeout"]) if "timeout" in values else DEFAULT_WAIT
    if timeout > LONGEST_WAIT:
        raise UsageError(f"a timeout of {timeout:g} s is above {LONGEST_WAIT:g} s; ask again when that is over")
    return parse_position(values["position"]), timeout

"""What a server tells over HTTP: ``/status``, ``/wait`` for a position, and ``/sql`` for the WAL level.

All answer JSON. The status is a snapshot of what the services know and costs nothing to ask for; a wait holds its
request open until the position is applied, its time is over, or the client goes away. Statements are taken at a
UNIX socket, and over TCP with a token.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.http import UNAUTHORIZED
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from spgrepl.base.results import Position, QueryResult
from spgrepl.compiled.core import IMPLEMENTATION
from spgrepl.errors import (
    DifferentHistory,
    PromotionRefused,
    ServiceStopped,
    SpgReplError,
    StatementFailed,
    UsageError,
    WaitTimeout,
)
from spgrepl.server.status.guarded_site import LONGEST_BODY, GuardedRequest, GuardedSite
from spgrepl.server.status.local_only import judge_sender
from spgrepl.text.options import parse_seconds
from spgrepl.text.quantities import in_seconds
from spgrepl.text.role_log import RoleLogger
from spgrepl.text.shown import shown_quoted
from spgrepl.watch.settings import HttpGuard
from spgrepl.watch.site import SiteWatch

DEFAULT_WAIT = 30.0
"""Seconds that ``/wait`` waits where the request names none."""

LONGEST_WAIT = 3600.0
"""The most seconds that one request may wait."""

MOST_WAITS = 1000
"""How many requests may wait at once, for each of ``/wait`` and ``/sql``; one more is answered 503."""

StatusSource = Callable[[], Mapping[str, object]]
WaitSource = Callable[[int, float], "Deferred[int]"]
SqlSource = Callable[[str], "Deferred[QueryResult]"]
PostSource = Callable[[str], "Deferred[Mapping[str, object]]"]


def build_site(
    reactor: IReactorTime,
    status: StatusSource,
    wait: WaitSource,
    sql: SqlSource | None = None,
    watch: SiteWatch | None = None,
    guard: HttpGuard | None = None,
    compare: PostSource | None = None,
) -> Site:
    """Make the site with ``/status`` and ``/wait``, and ``/sql`` where statements can be executed.

    ``GET /wait?position=N&timeout=S`` answers 200 with ``{"applied": M}`` when position N is applied, 504 when S
    seconds (30 where not stated) went by first, 400 where the arguments are wrong, 503 when the server stops or
    too many requests wait already. ``token=T`` in the place of the position takes what `spgrepl.Position` is as
    text; the answer counts as the token does. 409 says that it is of a different history.

    ``POST /sql`` with one statement as its body answers 200 with ``{"columns": […], "rows": [[…], …]}``, 400 where
    the statement is refused, and 401 or 403 to all but programs that come over a UNIX socket or show the token:
    through no proxy and from no web page.

    Args:
        reactor: For the timeouts of idle connections.
        status: Returns what ``/status`` shows; called in the reactor's thread.
        wait: Called with a position and a timeout in seconds; its Deferred fires with the applied position, or
            fails with `WaitTimeout` or `ServiceStopped`. It is cancelled when the client goes away.
        sql: Called with the text of a statement; its Deferred fires with the rows, or fails with `StatementFailed`
            or another `SpgReplError`. It is cancelled when the client goes away. None takes no statements.
        watch: Adds what operators look at; None for nothing of it.
        guard: What the site allows.
        compare: Carries out an order of a comparison, by the same senders as statements: it gives rows of the
            database; see `spgrepl.server.comparing.sessions`. None compares nothing.
    """
    allowed = guard or HttpGuard()
    root = _Root(sql is not None)
    if watch is not None:
        watch.put_below(root)
    root.putChild(b"status", _StatusResource(status))
    root.putChild(b"wait", _WaitResource(wait))
    if sql is not None:
        root.putChild(b"sql", _PostResource(lambda text: sql(text).addCallback(_rows), allowed.token))
    if compare is not None:
        root.putChild(b"compare", _PostResource(compare, allowed.token))
    return GuardedSite(root, reactor, allowed)


def _answer(request: Request, code: int, content: Mapping[str, object]) -> bytes:
    request.setResponseCode(code)
    request.setHeader(b"content-type", b"application/json; charset=utf-8")
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")
    body = json.dumps(content, ensure_ascii=False, indent=1, default=str).encode() + b"\n"
    if request.method == b"HEAD":  # Twisted would complain of a body in the log
        request.setHeader(b"content-length", b"%d" % len(body))
        return b""
    return body


class _JsonResource(Resource, ABC):
    """A leaf that answers GET and HEAD."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def render(self, request: Request) -> bytes | int:
        """Answer a request of any method."""
        if request.method not in (b"GET", b"HEAD"):
            request.setHeader(b"allow", b"GET, HEAD")
            return _answer(request, 405, {"error": "this server is only asked: use GET"})
        return self._get(request)

    @abstractmethod
    def _get(self, request: Request) -> bytes | int:
        """Answer a request with one of the two methods."""


class _Root(Resource):
    """Says what there is to whoever asks for something else."""

    def __init__(self, takes_statements: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._help = "there are /status and /wait?position=N&timeout=S, or token=T"
        if takes_statements:
            self._help += ", and POST /sql with a statement as the body"

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return what answers for a path that has no child."""
        return _NotFound(self._help)


class _NotFound(_JsonResource):
    def __init__(self, help_text: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._help = help_text

    def _get(self, request: Request) -> bytes:
        return _answer(request, 404, {"error": self._help})


class _StatusResource(_JsonResource):
    _log = RoleLogger()

    def __init__(self, status: StatusSource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._status = status

    def _get(self, request: Request) -> bytes:
        try:
            return _answer(request, 200, {**self._status(), "implementation": IMPLEMENTATION})
        except Exception:  # noqa: BLE001 - whatever a service does, the monitor gets an answer and the log a reason
            self._log.failure("the status could not be made")
            return _answer(request, 500, {"error": "the status could not be made; the server's log says why"})


class _HeldRequests:
    """Requests that are answered when a Deferred fires, in limited number."""

    _log = RoleLogger()

    def __init__(self) -> None:
        self._held = 0

    def hold(self, request: Request, start: Callable[[], Deferred[Mapping[str, object]]]) -> bytes | int:
        """Answer a request later.

        Args:
            request: The request.
            start: Starts what is waited for; not called when too many requests wait already. Its Deferred fires
                with the answer's content, and is cancelled when the client goes away.
        """
        if self._held >= MOST_WAITS:
            return _answer(request, 503, {"error": f"{MOST_WAITS} requests wait already; try again"})
        self._held += 1
        gone: list[bool] = []
        waiting = maybeDeferred(start)

        def client_left(_: Failure) -> None:
            gone.append(True)
            waiting.cancel()

        def finish(code: int, content: Mapping[str, object]) -> None:
            if not gone:
                request.write(_answer(request, code, content))
                request.finish()

        request.notifyFinish().addErrback(client_left)
        waiting.addBoth(self._no_longer_held)
        waiting.addCallbacks(lambda content: finish(200, content), lambda why: finish(*_refusal(why)))
        waiting.addErrback(self._failed, finish)
        return NOT_DONE_YET

    def _no_longer_held(self, result: object) -> object:
        self._held -= 1
        return result

    def _failed(self, failure: Failure, finish: Callable[[int, Mapping[str, object]], None]) -> None:
        if isinstance(failure.value, CancelledError):
            return
        self._log.failure("a request that waited failed", failure)
        finish(500, {"error": "waiting failed; the server's log says why"})


class _WaitResource(_JsonResource):
    def __init__(self, wait: WaitSource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._wait = wait
        self._held = _HeldRequests()

    def _get(self, request: Request) -> bytes | int:
        try:
            position, timeout = _wait_arguments(request)
        except UsageError as error:
            return _answer(request, 400, {"error": str(error)})
        return self._held.hold(
            request, lambda: self._wait(position, timeout).addCallback(lambda applied: {"applied": applied})
        )


class _PostResource(Resource):
    """A leaf that answers POST of a text, to programs that may."""

    isLeaf = True  # noqa: N815 - twisted.web's name

    def __init__(self, source: PostSource, token: str | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._source = source
        self._token = token
        self._held = _HeldRequests()

    def render(self, request: GuardedRequest) -> bytes | int:
        """Answer a request of any method."""
        if request.method != b"POST":
            request.setHeader(b"allow", b"POST")  # type: ignore[no-untyped-call]
            return _answer(request, 405, {"error": "a statement is sent as the body of a POST request"})
        client = request.getClientAddress()  # type: ignore[no-untyped-call]
        refusal = judge_sender(client, request.requestHeaders, self._token)
        if refusal is not None:
            if refusal[0] == UNAUTHORIZED:
                site: GuardedSite = request.site  # type: ignore[assignment]
                site.refused["no_token"] += 1
                request.setHeader(b"www-authenticate", b"Bearer")  # type: ignore[no-untyped-call]
            return _answer(request, refusal[0], {"error": refusal[1]})
        if request.received > LONGEST_BODY:
            return _answer(request, 413, {"error": f"a statement may have {LONGEST_BODY} bytes here"})
        assert request.content is not None
        try:
            sql = request.content.read().decode("utf-8")
        except UnicodeDecodeError as error:
            return _answer(request, 400, {"error": f"the statement is not UTF-8: {error}"})
        return self._held.hold(request, lambda: self._source(sql))


def _rows(result: QueryResult) -> Mapping[str, object]:
    return {"columns": result.columns, "rows": result.rows}


def _refusal(failure: Failure) -> tuple[int, Mapping[str, object]]:
    """What to answer where the wait failed in one of the ways that are foreseen."""
    error = failure.value
    if not isinstance(error, SpgReplError):
        failure.raiseException()
    if isinstance(error, WaitTimeout):
        return 504, {"error": str(error)}
    if isinstance(error, DifferentHistory):
        return 409, {"error": str(error)}
    if isinstance(error, PromotionRefused):
        return 412, {"error": str(error)}
    if isinstance(error, StatementFailed | UsageError):
        return 400, {"error": str(error)}
    return 503 if isinstance(error, ServiceStopped) else 500, {"error": str(error)}


def _wait_arguments(request: Request) -> tuple[int, float]:
    values: dict[str, str] = {}
    for name, given in (request.args or {}).items():
        if name not in (b"position", b"token", b"timeout") or len(given) != 1:
            raise UsageError(f"{shown_quoted(name.decode('utf-8', 'replace'))} is unknown or given twice")
        values[name.decode()] = given[0].decode("utf-8", "replace")
    if ("position" in values) == ("token" in values):
        raise UsageError("'position' is missing, or 'token': ask for /wait?position=N&timeout=S with one of them")
    timeout = parse_seconds(values["timeout"]) if "timeout" in values else DEFAULT_WAIT
    if timeout > LONGEST_WAIT:
        raise UsageError(
            f"a timeout of {in_seconds(timeout)} is above {LONGEST_WAIT:g} s; ask again when that is over"
        )
    return Position.parse(values.get("position") or values.get("token", "")), timeout

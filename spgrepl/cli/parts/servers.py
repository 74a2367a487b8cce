"""What running servers are asked from the command line: statements, and to wait for positions."""

from __future__ import annotations

import http.client
import sys
import time

from spgrepl.base.results import QueryResult
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConnectionRefused, DifferentHistory, PromotionRefused, StatementFailed
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask

_OK, _STATEMENT_REFUSED, _FORBIDDEN, _NOT_PROMOTED = 200, 400, (401, 403), 412
_OTHER_HISTORY, _NOT_YET = 409, 504
_ONLY_ASKED = (404, 405)

_FIRST_REQUEST, _ONE_REQUEST = 2.0, 10.0
"""Seconds that a request waits: the first, and each of the others. After each it is told how far the server is."""


def execute_at_server(sql: str, address: StatusAddress | None, paths: DatabasePaths | None) -> QueryResult:
    """Let a server execute a statement, and wait as long as that takes.

    Args:
        sql: The statement.
        address: Where the server answers; None for the control socket of a database.
        paths: That database.

    Raises:
        ServerUnreachable: No server is there, or it takes no statements.
        ConnectionRefused: It takes none from here.
        StatementFailed: It refuses this one.
        PromotionRefused: It is a follower that does not become a primary.
    """
    beside = StatusAddress(path=str(paths.control_socket)) if paths is not None else None
    server = address or beside
    assert server is not None  # one of the two is always given
    try:
        code, answer = ask(server, "/sql", timeout=None, statement=sql)
    except ServerUnreachable as error:
        if address is not None or paths is None:
            raise
        if isinstance(error.__cause__, ConnectionResetError | BrokenPipeError | http.client.IncompleteRead):
            raise ServerUnreachable(
                f"the server of {paths.database} ended before it answered ({error}): it may have done what it was "
                f"asked, or not. `spgrepl snapshot show {paths.database}` says what the database is now"
            ) from error
        raise ServerUnreachable(
            f"no server of {paths.database} is running ({error}): start it with `twistd spgrepl master`, or "
            f"follower, or name another database, or another server"
        ) from error
    said = str(answer.get("error", f"HTTP status {code}"))
    if code == _STATEMENT_REFUSED:
        raise StatementFailed(said, sql)
    if code == _NOT_PROMOTED:
        raise PromotionRefused(said)
    if code in _FORBIDDEN:
        raise ConnectionRefused(f"{server} refuses: {said}")
    if code in _ONLY_ASKED:
        raise ServerUnreachable(f"{server} is a server that takes no statements: ask a master")
    if code != _OK:
        raise ServerUnreachable(f"{server} cannot say: {said}")
    return QueryResult(tuple(answer["columns"]), [tuple(row) for row in answer["rows"]])


def wait_at(address: StatusAddress, wanted: str, deadline: float | None) -> int | None:
    """Wait until a server has applied a position.

    Args:
        address: The server.
        wanted: What is waited for, as ``position=…`` or ``token=…``.
        deadline: When to give up, by `time.monotonic`; None for never.

    Returns:
        What the server has applied; None where the deadline came first.

    Raises:
        DifferentHistory: The server's history is not the position's.
        ServerUnreachable: It does not answer, or stops.
    """
    longest = _FIRST_REQUEST
    while True:
        left = longest if deadline is None else min(longest, deadline - time.monotonic())
        if left <= 0:
            return None
        code, answer = ask(address, f"/wait?{wanted}&timeout={max(left, 0.001):.3f}", timeout=left + 10)
        said = str(answer.get("error", f"HTTP status {code}"))
        if code == _OK:
            return int(answer["applied"])
        if code == _OTHER_HISTORY:
            raise DifferentHistory(f"{address}: {said}")
        if code != _NOT_YET:
            raise ServerUnreachable(f"{address} cannot be waited for: {said}")
        if left == longest:
            print(f"spgrepl: still waiting for {address}: {said}", file=sys.stderr)
        longest = _ONE_REQUEST

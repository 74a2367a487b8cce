"""Statements that are put to a running server from the command line."""

from __future__ import annotations

import http.client

from spgrepl.base.results import QueryResult
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConnectionRefused, PromotionRefused, StatementFailed
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask

_OK, _STATEMENT_REFUSED, _FORBIDDEN, _NOT_PROMOTED = 200, 400, (401, 403), 412
_ONLY_ASKED = (404, 405)


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

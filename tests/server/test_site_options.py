"""What users say about a role's site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.server.site_options import HTTP_OPTIONS, LOG_SQL, SITE_OPTIONS, NamedSite, read_http, read_watch


class Options(NamedSite):
    """Options of a copy."""

    optParameters = SITE_OPTIONS  # noqa: N815 - Twisted's
    optFlags = [LOG_SQL]  # noqa: RUF012, N815 - Twisted's


class Watching(NamedSite):
    """Options of what is a copy of somebody's else log, and has no site of its own."""

    optParameters = [*SITE_OPTIONS, ["same-history", None, None, "Its."]]  # noqa: RUF012, N815 - Twisted's
    optFlags = [LOG_SQL]  # noqa: RUF012, N815 - Twisted's


def parsed(*words: str, kind: type[NamedSite] = Options) -> Any:
    options = kind()
    options.parseOptions(words)
    return options


def test_what_was_said_is_what_holds(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    options = parsed(
        "--http=8080",
        "--http-name=a",
        "--http-name=b",
        f"--http-token-file={token}",
        "--ready-lag=2.5",
        "--log-sql",
    )
    found = read_watch(options)
    assert (found.ready_lag, found.log_sql, found.guard.names) == (2.5, True, ("a", "b"))
    assert found.guard.token is not None
    usual = read_watch(parsed())
    assert (usual.ready_lag, usual.log_sql, usual.guard.names, usual.guard.token) == (10.0, False, (), None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--http-name=a"], "--http-name is for the site of --http: say where that is"),
        (["--http=unix:/run/x", "--http-name=a"], "--http-name is for a site over TCP"),
        (["--http-token-file=x"], "--http-token-file is for the site of --http"),
        (["--ready-lag=-1"], "--ready-lag: "),
        (["--ready-lag=nan"], "--ready-lag: "),
        (["--max-http-connections=0"], "--max-http-connections: "),
    ],
)
def test_what_would_do_nothing_or_cannot_be_is_refused_by_its_name(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_watch(parsed(*words))


def test_where_there_is_no_site_its_numbers_are_for_nothing() -> None:
    with pytest.raises(UsageError, match="--ready-lag is for the site of --http"):
        read_watch(parsed("--ready-lag=3", kind=Watching))
    read_watch(parsed("--ready-lag=3"))
    assert HTTP_OPTIONS[0][0] == "http"


def test_a_port_is_on_this_machine_alone() -> None:
    reactor: Any = Clock()
    assert read_http(reactor, {"http": None}) is None
    endpoint: Any = read_http(reactor, {"http": "8080"})
    assert (endpoint._port, endpoint._interface) == (8080, "127.0.0.1")
    with pytest.raises((UsageError, ConfigurationError), match="--http"):
        read_http(reactor, {"http": "nothing:at:all"})

"""What users say about a role's site: where it is, whom it answers, and when a copy counts as ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.interfaces import IStreamServerEndpoint

from spgrepl.access.endpoint_words import is_unix, local_by_default
from spgrepl.access.endpoints import server_endpoint
from spgrepl.access.options import read_token
from spgrepl.errors import UsageError
from spgrepl.server.plain_usage import PlainUsage
from spgrepl.text.options import parse_count, parse_seconds
from spgrepl.watch.settings import HttpGuard, WatchSettings

_T = TypeVar("_T")

HTTP_OPTIONS = [
    ["http", None, None, "Where to show the page, /status, /metrics and more: PORT, HOST:PORT or an endpoint."],
    ["http-token-file", None, None, "A file with the token that POST over TCP has to show [default: none may]."],
    ["max-http-connections", None, None, "The most connections there at once [default: 200]."],
]
SITE_OPTIONS = [
    *HTTP_OPTIONS,
    ["ready-lag", None, None, "How many seconds old a copy may be for /readyz to answer 200 [default: 10]."],
]
"""Those of a copy: a master is ready while it serves."""


class NamedSite(PlainUsage):
    """Options of a role whose site may have names."""

    def __init__(self) -> None:
        super().__init__()
        self["http-names"] = []

    def opt_http_name(self, name: str) -> None:
        """Answer at --http by this name too: a request's Host has to be known; may be repeated."""
        self["http-names"].append(name)


LOG_SQL = ["log-sql", None, "Let SQL, and values of rows, stand in the log of the process."]


def read_http(reactor: object, given: Mapping[str, Any]) -> IStreamServerEndpoint | None:
    """Where the site listens: on this machine alone, where no other address is named; None for nowhere.

    Raises:
        UsageError: It names no endpoint.
        ConfigurationError: It names a file that cannot be read.
    """
    found: IStreamServerEndpoint | None = _value(
        given, "http", lambda text: server_endpoint(reactor, local_by_default(text)), None
    )
    return found


def read_watch(given: Mapping[str, Any]) -> WatchSettings:
    """How the role is watched.

    Raises:
        UsageError: An option is wrong.
    """
    _refuse_without_site(given)
    usual = WatchSettings()
    return WatchSettings(
        name=getattr(given, "label", ""),
        log_sql=bool(given["log-sql"]),
        ready_lag=_value(given, "ready-lag", parse_seconds, usual.ready_lag),
        guard=HttpGuard(
            names=tuple(given["http-names"]),
            token=_value(given, "http-token-file", read_token, None),
            connections=_value(given, "max-http-connections", parse_count, usual.guard.connections),
        ),
    )


def _refuse_without_site(given: Mapping[str, Any]) -> None:
    """Refuse what would do nothing: a name and a token are for a site that other programs reach over TCP."""
    where = given["http"]
    for name in ("http-names", "http-token-file"):
        if given[name] and (where is None or is_unix(where)):
            option = "http-name" if name == "http-names" else name
            if where is None:
                raise UsageError(
                    f"--{option} is for the site of --http: say where that is, or leave --{option} out"
                )
            raise UsageError(
                f"--{option} is for a site over TCP: --http is a UNIX socket, whose mode says who may ask"
            )
    # A master and a follower have a site beside the log in any case.
    if where is None and "same-history" in given:
        for name in ("max-http-connections", "ready-lag"):
            if given[name] is not None:
                raise UsageError(f"--{name} is for the site of --http: say where that is, or leave --{name} out")


def _value(given: Mapping[str, Any], name: str, parse: Callable[[str], _T], default: Any) -> Any:
    if given.get(name) is None:
        return default
    try:
        return parse(given[name])
    except UsageError as error:
        raise UsageError(f"--{name}: {error}") from error

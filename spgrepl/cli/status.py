"""``spgrepl status``: how servers are, for people and for health checks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from spgrepl.cli import argument
from spgrepl.errors import EXIT_TRY_AGAIN, EXIT_UNAVAILABLE, UsageError
from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from spgrepl.text.options import parse_seconds
from spgrepl.text.quantities import number_of
from spgrepl.text.shown import shown, shown_seconds
from spgrepl.text.terminal import escaped_json, plain

_TIMEOUT = 3.0
_CONTROL = "*.wal.control"
_AT_ONCE = 32
"""So many servers are asked at once: one that does not answer keeps nobody waiting for the others."""
_EVERY_ROLE_HAS = frozenset({"role", "state", "positions"})


_HEARS = frozenset({"streaming", "delayed", "bootstrapping", "copying"})
"""States in which the master is heard."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "servers",
        metavar="URL",
        nargs="*",
        type=argument(StatusAddress.parse),
        help="http://HOST:PORT, HOST:PORT or unix:/path of a server; without any, the masters and followers whose "
        "control sockets lie in this folder",
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")
    parser.add_argument(
        "--check",
        action="store_true",
        help="print problems only; exit with 0 where there are none, 75 where there are, 69 without an answer",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=argument(parse_seconds),
        default=_TIMEOUT,
        help=f"how long to wait for an answer (default: {_TIMEOUT:g})",
    )


@attrs.frozen
class Answer:
    """What a server said.

    Attributes:
        server: Where it was asked.
        roles: The status of each of its roles.
        error: Why there is none; None where it answered.
    """

    server: str
    roles: tuple[Mapping[str, Any], ...] = ()
    error: str | None = None

    @property
    def problems(self) -> list[Mapping[str, Any]]:
        """The problems of all its roles."""
        return [problem for role in self.roles for problem in role.get("problems", ())]

    def as_values(self) -> dict[str, Any]:
        """The answer as plain values, for JSON."""
        return {"server": self.server, "roles": list(self.roles), "error": self.error}


def run(arguments: argparse.Namespace) -> int:
    """Ask, print, and return the exit code."""
    servers = arguments.servers or _servers_here()
    with ThreadPoolExecutor(min(_AT_ONCE, len(servers))) as pool:
        answers = list(pool.map(partial(_ask, timeout=arguments.timeout), servers))
    if arguments.json:
        print(escaped_json(json.dumps([one.as_values() for one in answers], ensure_ascii=False, indent=1)))
    else:
        for answer in answers:
            for line in _problem_lines(answer) if arguments.check else _lines(answer):
                print(plain(line))
    if any(answer.error for answer in answers):
        return EXIT_UNAVAILABLE
    return EXIT_TRY_AGAIN if arguments.check and any(answer.problems for answer in answers) else 0


def _servers_here() -> list[StatusAddress]:
    found = sorted(Path().absolute().glob(_CONTROL))
    if not found:
        raise UsageError(
            f"no master and no follower has its control socket ({_CONTROL}) in this folder: name servers, as "
            f"http://HOST:PORT"
        )
    return [StatusAddress(path=str(path)) for path in found]


def _ask(server: StatusAddress, timeout: float) -> Answer:
    try:
        code, content = ask(server, "/status", timeout=timeout)
    except ServerUnreachable as error:
        return Answer(str(server), error=str(error))
    if code != 200:
        return Answer(str(server), error=f"{server} answers with HTTP status {code}: {content.get('error')}")
    roles = content.get("roles", [content])
    if not isinstance(roles, list) or not all(
        isinstance(one, dict) and one.keys() >= _EVERY_ROLE_HAS for one in roles
    ):
        return Answer(str(server), error=f"{server} answers, but not as a server of spgrepl does: name its --http")
    return Answer(str(server), tuple(roles))


def _is_role(status: object) -> bool:
    return isinstance(status, dict) and status.keys() >= _EVERY_ROLE_HAS


def _problem_lines(answer: Answer) -> Iterator[str]:
    if answer.error:
        yield f"unreachable: {answer.error}"
    for role in answer.roles:
        for problem in role.get("problems", ()):
            yield f"{answer.server}: {role['role']} {role.get('name')}: {problem['kind']}: {problem['reason']}"


def _lines(answer: Answer) -> Iterator[str]:
    if answer.error:
        yield answer.error
    for role in answer.roles:
        yield f"{role['role']} {role.get('name') or ''} at {answer.server}: {role['state']}"
        positions = role["positions"]
        yield f"  applied {_number(positions['applied'])}, the log has {_number(positions['source'])}"
        if role["role"] != "master":
            upstream = (role.get("upstream") or {}).get("address") or "its master"
            lag = role["lag"]
            seconds = "unknown" if lag["seconds"] is None else f"{lag['seconds']:.1f} s"
            heard = role.get("heard_seconds")
            # Without a connection all of this is what was heard last.
            as_of = "" if heard is None or role["state"] in _HEARS else f"; heard {heard:.1f} s ago"
            yield f"  behind {upstream}: {_bytes(lag['bytes'])}, {seconds}{as_of}"
        bootstrap = role.get("bootstrap") or role.get("copy")
        if bootstrap:
            received, length = bootstrap["received"], bootstrap["length"]
            yield f"  snapshot: {_number(received)} of {_bytes(length)}, {received / max(1, length):.0%}"
            if bootstrap.get("placing"):
                yield f"  in place: {_placing(bootstrap['placing'])}"
        for table, left_out in (role.get("cold_rows_left_out") or {}).items():
            rows = number_of(left_out["rows"], "row", form=",")
            first = left_out["first_key"]
            yield f"  without {rows} of {table}, from key {first} on: their cold segments never came"
        for peer in role.get("peers") or ():
            name = f"{peer['name']} ({peer['address']})" if peer.get("name") else peer["address"]
            yield f"  peer {name}: {peer['state']}, {_bytes(peer['lag_bytes'])} to send"
        for problem in role.get("problems", ()):
            yield f"  ! {problem['kind']}: {problem['reason']}"


def _placing(placing: Mapping[str, Any]) -> str:
    """How far the rows of a snapshot are in place that is here."""
    parts = [placing["step"]]
    if placing["share"] is not None:
        parts.append(f"{placing['share']:.0%}")
    if placing["table"] is not None:
        parts.append(f"table {shown(placing['table'])}")
    for unit, singular in (("rows", "row"), ("bytes", "byte")):
        done, total = placing[unit], placing[f"{unit}_total"]
        if done is not None:
            parts.append(f"{done:,} of {number_of(total, singular, form=',')}" if total else f"{done:,} {unit}")
    if placing["bytes_per_second"]:
        parts.append(f"{placing['bytes_per_second'] / 1e6:.1f} MB/s")
    left = placing["seconds_left"]
    parts.append(f"for {shown_seconds(placing['seconds'])}" if left is None else f"{shown_seconds(left)} left")
    return ", ".join(parts)


def _bytes(value: int | None) -> str:
    return "unknown" if value is None else number_of(value, "byte", form=",")


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"

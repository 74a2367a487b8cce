"""What is wrong with a role, judged from its status: for people, metrics, alerts and health checks alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from spgrepl.text.quantities import number_of

OPEN_SECONDS = 1.0
"""A transaction of the log that stays open for longer holds the copy back."""

STALLED_SECONDS = 3.0
"""A peer that takes none of the bytes that wait for it for longer has stalled."""


@attrs.frozen
class Problem:
    """Something that somebody has to look at.

    Attributes:
        kind: What it is, in a word; the label of the metric ``spgrepl_problem``.
        reason: What was found, and what to do.
        peer: The name or address of the peer that it is about; None where it is about the role.
    """

    kind: str
    reason: str
    peer: str | None = None


def find_problems(status: Mapping[str, Any]) -> list[Problem]:
    """Judge a status.

    Args:
        status: What `spgrepl.server.role.Role.status` tells, all but the problems.
    """
    return [*_of_the_role(status), *_of_transactions(status), *_of_segments(status), *_of_peers(status)]


def with_problems(status: dict[str, Any]) -> dict[str, Any]:
    """A status with the problems that are found in it, under ``problems``."""
    status["problems"] = [attrs.asdict(problem) for problem in find_problems(status)]
    return status


def _of_the_role(status: Mapping[str, Any]) -> Iterator[Problem]:
    upstream = (status.get("upstream") or {}).get("address")
    if status.get("error"):
        yield Problem(status.get("error_kind") or "error", status["error"], upstream)
    elif status["state"] in ("stopped", "waiting"):
        yield Problem(status["state"], f"the {status['role']} is {status['state']}", upstream)
    if status.get("warning"):
        yield Problem("warning", status["warning"])


def _of_transactions(status: Mapping[str, Any]) -> Iterator[Problem]:
    open_ones = status.get("open_transactions")
    if open_ones and open_ones["seconds"] > OPEN_SECONDS:
        where = (
            "at the primary: others wait while it is open"
            if status["role"] == "master"
            else "in the log: what waits for its end is not visible yet"
        )
        yield Problem("open_transaction", f"a transaction has been open for {open_ones['seconds']:.1f} s {where}")
    held = [peer["held_up"] for peer in status.get("peers") or () if peer.get("held_up")]
    longest = max(held, key=lambda one: one["seconds"], default=None)
    if longest is not None and longest["seconds"] > OPEN_SECONDS:
        yield Problem(
            "open_transaction",
            f"a transaction has been open for {longest['seconds']:.1f} s in the log, from position "
            f"{longest['position']} on: its end is waited for by {number_of(len(held), 'subscriber')}",
        )


def _of_segments(status: Mapping[str, Any]) -> Iterator[Problem]:
    served, came = status.get("segments_served"), status.get("segments")
    if served and served["error"]:
        yield Problem("segments", served["error"])
    if served and served["missing"]:
        yield Problem(
            "segments_missing",
            f"{number_of(len(served['missing']), 'cold segment is', 'cold segments are')} "
            "registered and not there",
        )
    if came and came["damaged"]:
        yield Problem("segments_damaged", f"cold segments came damaged: {', '.join(map(str, came['damaged']))}")


def _of_peers(status: Mapping[str, Any]) -> Iterator[Problem]:
    for peer in status.get("peers") or ():
        name = peer.get("name") or peer["address"]
        if peer["state"] == "away":
            away = peer.get("away_seconds")
            since = "since this server was started" if away is None else f"for {away:.0f} s"
            yield Problem("peer_away", f"{name}, which is expected, has not been connected {since}", name)
        elif peer.get("stalled_seconds", 0) > STALLED_SECONDS:
            seconds = peer["stalled_seconds"]
            yield Problem("peer_stalled", f"{name} takes none of what waits for it for {seconds:.0f} s", name)

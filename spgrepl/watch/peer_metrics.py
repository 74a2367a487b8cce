"""The metrics of peers, as text: with hundreds of followers they are most of a scrape, and written at once here.

The two formats that Prometheus reads do not differ in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from spgrepl.watch.registry import METRICS

_SHOWN = (
    "spgrepl_peer_connections",
    "spgrepl_peer_waiting_bytes",
    "spgrepl_peer_stalled_seconds",
    "spgrepl_peer_snapshots",
)

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@attrs.define
class _Peer:
    """The connections of one peer, taken together."""

    connections: int = 0
    waiting: int | None = None
    stalled: float = 0.0
    snapshots: int = 0

    def values(self) -> tuple[float | None, ...]:
        """The values of the metrics, in the order of their names; None for none."""
        return self.connections, self.waiting, self.stalled or None, self.snapshots or None


def peer_text(statuses: Sequence[Mapping[str, Any]]) -> str:
    """The metrics of the peers of some roles.

    There is a series for each configured peer, and for each other address without its port: ports are ever new.
    """
    lines: dict[str, list[str]] = {name: [] for name in _SHOWN}
    for status in statuses:
        role, name = _escaped(status["role"]), _escaped(status.get("name") or "")
        for peer, found in _by_name(status.get("peers") or ()).items():
            labels = f'{{name="{name}",peer="{_escaped(peer)}",role="{role}"}}'
            for metric, value in zip(_SHOWN, found.values(), strict=True):
                if value is not None:
                    lines[metric].append(f"{metric}{labels} {float(value)!r}\n")
    return "".join(
        f"# HELP {metric} {METRICS[metric].text}\n# TYPE {metric} gauge\n{''.join(found)}"
        for metric, found in lines.items()
        if found
    )


def _by_name(peers: Sequence[Mapping[str, Any]]) -> dict[str, _Peer]:
    by_name: dict[str, _Peer] = {}
    for peer in peers:
        name = peer.get("name") or peer["address"].rpartition(":")[0] or peer["address"]
        one = by_name.setdefault(name, _Peer())
        if peer["state"] == "away":
            continue
        one.connections += 1
        one.snapshots += peer["state"] == "snapshot"
        one.stalled = max(one.stalled, peer["stalled_seconds"])
        if peer["lag_bytes"] is not None:
            one.waiting = max(one.waiting or 0, peer["lag_bytes"])
    return by_name


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)

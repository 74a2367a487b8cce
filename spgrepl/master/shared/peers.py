"""Peers by their configured names, also while they are away; and what was sent to all there ever were."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from spgrepl.errors import UsageError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen
class NamedPeer:
    """A peer that is expected.

    Attributes:
        name: What it is called in the status, in metrics and in logs.
        network: Where it comes from; often a network of one address.
    """

    name: str
    network: _Network

    @classmethod
    def parse(cls, text: str) -> NamedPeer:
        """Read ``NAME=ADDRESS`` or ``NAME=NETWORK``, such as ``berlin=10.0.0.7`` or ``lab=10.1.0.0/16``.

        Raises:
            UsageError: The text is nothing of the kind.
        """
        name, sign, where = text.partition("=")
        try:
            if sign and name.strip():
                return cls(name.strip(), ipaddress.ip_network(where.strip(), strict=False))
        except ValueError:
            pass
        raise UsageError(f"{text!r} is not NAME=ADDRESS: write a peer as berlin=10.0.0.7 or lab=10.1.0.0/16")


class PeerNames:
    """Knows the names of configured peers, and since when each is away.

    Args:
        peers: The peers; of two that match an address, the first one.
    """

    def __init__(self, peers: Sequence[NamedPeer] = ()) -> None:
        self._peers = tuple(peers)
        self._seen: dict[str, float] = {}
        self._known: dict[str, str | None] = {}

    def seen(self, address: str, now: float) -> str | None:
        """The name of a peer that is connected; None where it has none.

        Args:
            address: Its address, as `spgrepl.master.protocol.format_address` writes it.
            now: The time on a steady clock, in seconds.
        """
        if not self._peers:
            return None
        host = address.rpartition(":")[0].strip("[]")
        if host not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[host] = self._find(host)
        name = self._known[host]
        if name is not None:
            self._seen[name] = now
        return name

    def _find(self, host: str) -> str | None:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
        address = getattr(address, "ipv4_mapped", None) or address
        return next((peer.name for peer in self._peers if address in peer.network), None)

    def away(self, connected: Iterable[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
        """What the status says of configured peers that are not connected.

        Args:
            connected: What it says of those that are.
            now: The time on a steady clock, in seconds.
        """
        if not self._peers:
            return []
        here = {peer["name"] for peer in connected}
        return [self._away(peer, now) for peer in self._peers if peer.name not in here]

    def _away(self, peer: NamedPeer, now: float) -> dict[str, Any]:
        seen = self._seen.get(peer.name)
        where = peer.network
        return {
            "name": peer.name,
            "address": str(where.network_address if where.num_addresses == 1 else where),
            "version": None,
            "state": "away",
            "start": None,
            "position": None,
            "lag_bytes": None,
            "segments": None,
            "since": None,
            "stalled_seconds": 0.0,
            "away_seconds": None if seen is None else round(max(0.0, now - seen), 3),
        }


class SentCounts:
    """Counts what went to subscribers, also to those that have gone."""

    def __init__(self) -> None:
        self._forwarded = 0
        self._passed_over: Counter[str] = Counter()

    def add(self, gone: Mapping[str, Any]) -> None:
        """Take over the counts of a connection that is gone, by its last status."""
        self._forwarded += gone.get("forwarded") or 0
        self._passed_over.update(gone.get("passed_over") or {})

    def with_those(self, connected: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The counts, with those of the connections there are: ``forwarded``, and ``passed_over`` by reason."""
        forwarded, passed_over = self._forwarded, self._passed_over.copy()
        for peer in connected:
            forwarded += peer.get("forwarded") or 0
            passed_over.update(peer.get("passed_over") or {})
        return {"forwarded": forwarded, "passed_over": dict(passed_over)}

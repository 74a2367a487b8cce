"""Peers by their configured names, also while they are away; and what was sent to all there ever were."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

from spgrepl.errors import UsageError
from spgrepl.watch.status import AwayPeer, ConnectedPeer, Peer, Sent

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
        name = self.name_of(address)
        if name is not None:
            self._seen[name] = now
        return name

    def name_of(self, address: str) -> str | None:
        """The name of a peer, by its address; None where it has none."""
        if not self._peers:
            return None
        host = address.rpartition(":")[0].strip("[]")
        if host not in self._known:
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[host] = self._find(host)
        return self._known[host]

    def _find(self, host: str) -> str | None:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
        address = getattr(address, "ipv4_mapped", None) or address
        return next((peer.name for peer in self._peers if address in peer.network), None)

    def away(self, connected: Iterable[Peer], now: float) -> tuple[AwayPeer, ...]:
        """What the status says of configured peers that are not connected.

        Args:
            connected: What it says of those that are.
            now: The time on a steady clock, in seconds.
        """
        if not self._peers:
            return ()
        here = {peer.name for peer in connected}
        return tuple(self._away(peer, now) for peer in self._peers if peer.name not in here)

    def _away(self, peer: NamedPeer, now: float) -> AwayPeer:
        seen = self._seen.get(peer.name)
        where = peer.network
        return AwayPeer(
            name=peer.name,
            address=str(where.network_address if where.num_addresses == 1 else where),
            state="away",
            away_seconds=None if seen is None else round(max(0.0, now - seen), 3),
        )


class SentCounts:
    """Counts what went to subscribers, also to those that have gone."""

    def __init__(self) -> None:
        self._forwarded = 0
        self._passed_over: Counter[str] = Counter()

    def add(self, gone: ConnectedPeer) -> None:
        """Take over the counts of a connection that is gone, by its last status."""
        if gone.subscriber is not None:
            self._forwarded += gone.subscriber.forwarded
            self._passed_over.update(gone.subscriber.passed_over)

    def with_those(self, connected: Iterable[ConnectedPeer]) -> Sent:
        """The counts, with those of the connections there are."""
        forwarded, passed_over = self._forwarded, self._passed_over.copy()
        for peer in connected:
            if peer.subscriber is not None:
                forwarded += peer.subscriber.forwarded
                passed_over.update(peer.subscriber.passed_over)
        return Sent(forwarded, dict(passed_over))

"""Whom a master lets in: bounds on connections in all, of one address, and of those without a hello yet."""

from __future__ import annotations

import ipaddress
from collections import Counter

from spgrepl.access.client import Client
from spgrepl.access.descriptors import is_in_reserve
from spgrepl.access.places import ip_of
from spgrepl.access.rights import Rights
from spgrepl.errors import ConnectionRefused
from spgrepl.master.shared.connections import Connections, IConnection
from spgrepl.master.shared.end_reasons import Cause
from spgrepl.master.shared.limits import MasterLimits
from spgrepl.text.quantities import number_of
from spgrepl.text.shown import shown_names
from spgrepl.wire.handshake import FollowerHello
from spgrepl.wire.subscription import SubscriberHello

_IPV6_OF_ONE = 64
"""Whoever has an IPv6 address has all that share so many bits with it."""


def origin_of(address: object) -> str | None:
    """What connections from one place have in common; None for a UNIX socket, which all share."""
    found = ip_of(address)
    if found is None:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _IPV6_OF_ONE), strict=False).network_address)
    return str(found)


class Admission:
    """Counts connections by where they come from and how far they are.

    Args:
        limits: What is allowed.
        connections: The connections there are.
    """

    def __init__(self, limits: MasterLimits, connections: Connections) -> None:
        self._limits = limits
        self._connections = connections
        self._of: Counter[str] = Counter()
        self._greeting: dict[IConnection, str | None] = {}

    @property
    def handshakes(self) -> int:
        """How many connections have not said all of their hello yet."""
        return len(self._greeting)

    def judge(self, origin: str | None) -> tuple[Cause, ConnectionRefused] | None:
        """Say why a connection is refused that has just come; None where nothing is against it."""
        limits = self._limits
        if len(self._connections) >= limits.connections:
            return Cause.CONNECTION_LIMIT, ConnectionRefused(
                f"{number_of(limits.connections, 'connection is', 'connections are')} served already, "
                f"which is the limit (--max-connections)"
            )
        if origin is not None and self._of[origin] >= limits.of_one_address:
            return Cause.ADDRESS_LIMIT, ConnectionRefused(
                f"{number_of(limits.of_one_address, 'connection is', 'connections are')} served already of its "
                f"address, which is the limit (--max-connections-per-address)"
            )
        return None

    def began(self, connection: IConnection, origin: str | None, transport: object) -> None:
        """A connection is there, and has to say hello.

        It, or another one that has not said hello either, is ended where there are too many of these: the oldest
        of those that come from where most do. A hello takes no longer than a round trip: that is not a friend's.
        """
        if origin is not None:
            self._of[origin] += 1
        self._greeting[connection] = origin
        if is_in_reserve(transport, self._limits.descriptors):
            connection.abort(
                Cause.NO_DESCRIPTORS,
                ConnectionRefused(
                    "nearly all descriptors of this process are in use, and the rest is kept for its files: raise "
                    "the limit (ulimit -n)"
                ),
            )
        elif len(self._greeting) > self._limits.handshakes:
            busiest, _ = Counter(self._greeting.values()).most_common(1)[0]
            victim = next(one for one, of in self._greeting.items() if of == busiest)
            self.greeted(victim)
            victim.abort(
                Cause.HANDSHAKE_LIMIT,
                ConnectionRefused(
                    f"{number_of(self._limits.handshakes, 'connection has', 'connections have')} not "
                    f"said hello yet, which is the limit "
                    f"(--max-handshakes), and it is the oldest of those from its address"
                ),
            )

    def greeted(self, connection: IConnection) -> None:
        """A connection has said its hello."""
        self._greeting.pop(connection, None)

    def gone(self, connection: IConnection, origin: str | None) -> None:
        """A connection is gone."""
        self._greeting.pop(connection, None)
        if origin is not None:
            self._of[origin] -= 1
            if self._of[origin] <= 0:
                del self._of[origin]


def judge_hello(
    hello: FollowerHello | SubscriberHello, rights: Rights, client: Client
) -> tuple[Cause, ConnectionRefused] | None:
    """Say why a client may not have what its hello asks for; None where it may."""
    if rights.physical:
        return None
    if rights.none:
        return Cause.NOT_ALLOWED, ConnectionRefused(f"it shows {client}, and may have nothing here (--access)")
    if isinstance(hello, FollowerHello):
        return Cause.COPY_NOT_ALLOWED, ConnectionRefused(
            f"it shows {client}, and may have {rights}, but not the whole database, which a follower gets, and so "
            f"does a subscriber for its initial copy: it can subscribe without the rows that are there, with "
            f"--no-copy-data"
        )
    missing = shown_names(rights.missing(hello.publications)) if hello.publications else ["all tables"]
    if missing:
        return Cause.PUBLICATION_NOT_ALLOWED, ConnectionRefused(
            f"it shows {client}, and may have {rights}, but asks for {', '.join(missing)} too"
        )
    return None

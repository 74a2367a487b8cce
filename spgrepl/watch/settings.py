"""How a role is watched."""

from __future__ import annotations

import attrs

from spgrepl.watch.health import DEFAULT_READY_LAG


@attrs.frozen
class HttpGuard:
    """What a site allows those who ask.

    Attributes:
        names: The names that it answers to, besides ``localhost``, this machine's, and any address.
        token: What requests that change something have to show over TCP; None takes them at UNIX sockets only.
        connections: How many connections there may be; of one more, the oldest that asks nothing is closed.
    """

    names: tuple[str, ...] = ()
    token: str | None = attrs.field(default=None, repr=False)
    connections: int = 200


@attrs.frozen
class WatchSettings:
    """How a role is watched.

    Attributes:
        name: A short name, for the status, metrics and logs; empty for the database's or the subscription's.
        ready_lag: How old a copy may be, in seconds, and still be ready.
        guard: What its site allows.
        log_sql: Whether SQL, and values of rows, may stand in the log of its process.
    """

    name: str = ""
    ready_lag: float = DEFAULT_READY_LAG
    guard: HttpGuard = attrs.field(factory=HttpGuard)
    log_sql: bool = False

    def named(self, name: str) -> WatchSettings:
        """These settings with a name, where they have none."""
        return self if self.name else attrs.evolve(self, name=name)

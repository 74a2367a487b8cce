"""How often each connection gets a STATUS: every interval while that is cheap, else whoever rests gets it in turn.

A connection rests when it has all that the log holds, and nothing waits in its socket. What it was sent before is
followed by a STATUS of its own, so no change is seen or committed any later because those that rest have to wait.
Those that do not rest get a STATUS every interval, as far as their sockets take it. Where they are thousands, that
alone would keep a core from sending them what they wait for: then they get one in turn, too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from spgrepl.master.shared.connections import Connections, IConnection

SHARE = 0.03
"""The part of a core that STATUS frames may take before they come less often."""

LONGEST = 1.0
"""The most seconds between two of them. Copies take a master for silent after three."""

FEW = 50
"""So many connections always get one every interval."""

_SMOOTH = 0.1


class StatusCadence:
    """Tells each time which connections are due.

    Args:
        connections: The connections there are.
        interval: Seconds between two calls of `tick`.
        spent: Tells how many seconds of processor time this thread has used.
    """

    def __init__(
        self, connections: Connections, interval: float, spent: Callable[[], float] = time.thread_time
    ) -> None:
        self._connections = connections
        self._interval = interval
        self._spent = spent
        # In both, who waits longest for a STATUS stands first.
        self._turns: dict[IConnection, None] = {}
        self._restless: dict[IConnection, None] = {}
        self._seen = 0
        self._cost = 0.0

    @property
    def seconds(self) -> float:
        """How long a connection that rests waits for its next STATUS."""
        return self._wait_of(len(self._turns))

    def _wait_of(self, count: int) -> float:
        """How long each of some connections waits."""
        if count <= FEW:
            return self._interval
        return min(max(self._interval, LONGEST), max(self._interval, count * self._cost / SHARE))

    def _share_of(self, count: int, wait: float) -> int:
        """How many of some connections get one now, so that each waits for so long."""
        return min(count, max(1, round(count * self._interval / wait)))

    def grew(self) -> None:
        """The log has grown: nobody may have all of it."""
        self._restless = dict.fromkeys(self._turns)

    def tick(self, call: Callable[[IConnection], None]) -> None:
        """Call something for each connection that is due."""
        self._take_notice()
        due = self._due()
        began = self._spent()
        for connection in due:
            # Whoever is ended by what another one is told has left the turns.
            if connection in self._connections:
                self._turns.pop(connection, None)
                self._turns[connection] = None
                if connection in self._restless:
                    del self._restless[connection]
                    self._restless[connection] = None
                self._connections.guarded(connection, call)
        if due:
            self._cost += _SMOOTH * ((self._spent() - began) / len(due) - self._cost)

    def _take_notice(self) -> None:
        """Forget connections that are gone, and learn of new ones."""
        if len(self._turns) != len(self._connections) or self._seen != self._connections.accepted:
            self._seen = self._connections.accepted
            there = dict.fromkeys(self._connections)
            new = {connection: None for connection in there if connection not in self._turns}
            self._turns = {connection: None for connection in self._turns if connection in there} | new
            self._restless = {one: None for one in self._restless if one in there} | new

    def _due(self) -> list[IConnection]:
        count = len(self._restless)
        share = self._share_of(count, self._wait_of(count))
        lagging: list[IConnection] = []
        for connection in tuple(self._restless):
            if connection.at_rest:
                del self._restless[connection]
            elif len(lagging) < share:
                lagging.append(connection)
            else:
                break
        resting = len(self._turns) - len(self._restless)
        idle = (connection for connection in self._turns if connection not in self._restless)
        return [*lagging, *itertools.islice(idle, self._share_of(resting, self.seconds))]

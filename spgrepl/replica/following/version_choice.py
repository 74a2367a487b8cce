"""Which form of the protocol a follower asks for: V2, and V1 only of a master that knows nothing else."""

from __future__ import annotations

from spgrepl.errors import PeerClosed, SpgReplError
from spgrepl.text.role_log import RoleLogger
from spgrepl.wire.handshake import StreamVersion
from spgrepl.wire.unknown_types import UnknownTypes

_OFTEN = 3
"""After so many silent ends in a row a master that has spoken V2 before may have been replaced by an older one."""


class VersionChoice:
    """Learns from the ends of connections what the master speaks.

    A master that does not know V2 closes on its hello without a byte. One that is starting may do so too: a master
    that has spoken V2 once is not asked for V1 after the first such end, for V1 has no STATUS.

    Attributes:
        next: What to ask for next.
        unknown: Which unknown frames the master sends on purpose.
    """

    _log = RoleLogger()

    def __init__(self) -> None:
        self.next = StreamVersion.V2
        self.unknown = UnknownTypes()
        self._spoke = False
        self._silent = 0

    def ended(self, version: StreamVersion, reason: SpgReplError, heard: bool) -> bool:
        """Take the end of a connection.

        Args:
            version: What was asked for.
            reason: Why it ended.
            heard: Whether the master has sent any byte.

        Returns:
            Whether V1 is to be tried now.
        """
        self.next = StreamVersion.V2
        if version is not StreamVersion.V2:
            return False
        if heard:
            self._spoke, self._silent = True, 0
        elif isinstance(reason, PeerClosed):
            self._silent += 1
            if not self._spoke or self._silent >= _OFTEN:
                self.next = StreamVersion.V1
                self._log.info("the master closed on the V2 hello; trying V1")
        return self.next is StreamVersion.V1

    def unreachable(self) -> None:
        """Nobody is there: who comes next may speak anything."""
        self.next = StreamVersion.V2
        self._silent = 0

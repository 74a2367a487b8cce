"""What a service logs of its master: one line an event, and what repeats is counted, not repeated."""

from __future__ import annotations

import re

from twisted.logger import Logger

from spgrepl.errors import SpgReplError
from spgrepl.text.log_words import for_log
from spgrepl.watch.troubles import kind_of

_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


class Reports:
    """Logs what becomes of the connections to a master, each event with role, name, peer, position and reason.

    A failure that follows one like it is only counted; after 10, 100, 1,000 of them there is a line that says how
    many there were.

    Args:
        log: Where to.

    Attributes:
        role: What the service is, such as ``follower``.
        name: Its short name.
        peer: The master's.
    """

    def __init__(self, log: Logger) -> None:
        self._log = log
        self._last: tuple[str, str] | None = None
        self._times = 0
        self.role = "replica"
        self.name = ""
        self.peer = "the master"

    def call(self, role: str, name: str, peer: str) -> None:
        """Say what the service is, and who its master."""
        self.role, self.name, self.peer = role, name, peer or self.peer

    def failed(self, error: SpgReplError, position: int | None) -> None:
        """Log that a connection could not be made, or has ended.

        Args:
            error: Why.
            position: Up to where everything is applied; None where that is not known.
        """
        reason = for_log(error)
        key = (kind_of(error), _NUMBERS.sub("#", reason))
        self._times = self._times + 1 if key == self._last else 1
        self._last = key
        if self._times > 1 and str(self._times).strip("0") != "1":
            return
        again = "" if self._times == 1 else f" ({self._times} times)"
        self._log.warn(
            "{role} {name}: no stream from {peer}{place}: {reason}{again}",
            role=self.role,
            name=self.name,
            peer=self.peer,
            position=position,
            place="" if position is None else f", position {position}",
            reason=reason,
            kind=key[0],
            times=self._times,
            again=again,
        )

    def streams(self, position: int | None) -> None:
        """Log that the master sends its log."""
        after, self._times, self._last = self._times, 0, None
        self._log.info(
            "{role} {name}: streaming from {peer}, position {position}{again}",
            role=self.role,
            name=self.name,
            peer=self.peer,
            position=position,
            failures=after,
            again=f", after {after} failures" if after else "",
        )

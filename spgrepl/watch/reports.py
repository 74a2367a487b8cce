"""What a service logs of its master: one line an event, and what repeats is counted, not repeated."""

from __future__ import annotations

import re

from twisted.logger import Logger

from spgrepl.errors import SpgReplError
from spgrepl.text.log_words import for_log
from spgrepl.text.quantities import number_of
from spgrepl.watch.troubles import kind_of

_NUMBERS = re.compile(r"\d+(?:\.\d+)?")


class Reports:
    """Logs what becomes of the connections to a master, each event with role, name, peer, position and reason.

    A failure that follows one like it is only counted; after 10, 100, 1,000 of them there is a line that says how
    many there were. So it is where a stream begins in between and comes no further, as at a refused record.

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
        self._stands: int | None = None
        self._flaps = False
        self._streamed = False
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
        again = key == self._last and position == self._stands
        self._times = self._times + 1 if again else 1
        self._flaps = again and (self._streamed or self._flaps)
        self._last, self._stands, self._streamed = key, position, False
        if self._times > 1 and str(self._times).strip("0") != "1":
            return
        shown = "" if self._times == 1 else f" ({self._times} times)"
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
            again=shown,
        )

    def streams(self, position: int | None) -> None:
        """Log that the master sends its log, unless this has come and gone already, without any progress."""
        self._streamed = True
        if not self._flaps:
            self._say_streams(position)

    def goes_on(self, position: int | None) -> None:
        """Note that more was applied, or that the stream has lasted: failures are over."""
        if self._last is None:
            return
        if self._flaps:
            self._say_streams(position)
        self._times, self._last, self._flaps = 0, None, False

    def _say_streams(self, position: int | None) -> None:
        after = self._times
        self._log.info(
            "{role} {name}: streaming from {peer}, position {position}{again}",
            role=self.role,
            name=self.name,
            peer=self.peer,
            position=position,
            failures=after,
            again=f", after {number_of(after, 'failure')}" if after else "",
        )

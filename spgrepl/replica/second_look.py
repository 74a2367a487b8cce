"""Whether a different history is believed: one damaged byte on its way may look like one.

A copy that was found to differ stops for good, or is thrown away for a fresh one. So what one connection alone has
said is asked for once more, at once, over another one.
"""

from __future__ import annotations

from spgrepl.errors import HistoryDiverged, PeerError, SpgReplError, StartLost


class SecondLook:
    """Doubts the first connection that shows a different history, and believes the second one."""

    def __init__(self) -> None:
        self._looked = False

    def doubt(self, error: SpgReplError) -> SpgReplError | None:
        """Judge why a connection has ended.

        Returns:
            What to say instead, where it is to be looked at once more; None where it holds.
        """
        if not isinstance(error, HistoryDiverged) or isinstance(error, StartLost) or self._looked:
            return None
        self._looked = True
        return PeerError(
            f"{error}. A damaged byte on its way could look like this: it is looked at once more, over another "
            f"connection, before it holds"
        )

    def moved(self) -> None:
        """More of the master's log fits: what was doubted was wrong."""
        self._looked = False

"""A primary as a Twisted service."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from spgrepl.base.living_service import LivingService
from spgrepl.primary.primary import Primary


class PrimaryService(LivingService):
    """Opens a primary when it is started, and closes it when it is stopped.

    Put it into an application beside the `MasterRole` that serves the primary's log; the order does not matter.

    Args:
        primary: The primary, which nobody else opens or closes.

    Attributes:
        primary: The primary.
    """

    def __init__(self, primary: Primary) -> None:
        super().__init__(f"the primary of {primary.paths.database}")
        self.primary = primary

    def _open(self) -> Deferred[Any]:
        """Open the primary."""
        return self.primary.open()

    def _close_all(self) -> Deferred[None]:
        """Carry out what has been asked for, then close the primary."""
        return self.primary.close()

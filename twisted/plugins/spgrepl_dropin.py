"""Tells ``twistd`` of the command ``spgrepl``."""

import sys
from typing import Any

from twisted.application.service import ServiceMaker

from spgrepl.process.signals import hold_hangups


class _Maker(ServiceMaker):
    """Holds SIGHUP back before anything else is loaded, which takes a moment, where ``run`` is to take it."""

    @property
    def options(self) -> Any:
        """The options, which load everything."""
        # Only the command line tells yet; where it meant another role, reading it lets the signal come again.
        if "run" in sys.argv:
            hold_hangups()
        return super().options


spgrepl = _Maker(  # type: ignore[no-untyped-call]
    "spgrepl",
    "spgrepl.process.tap",
    "SPG replication: a master of a database's log, or a follower of one.",
    "spgrepl",
)

"""The publications that a master does not know, of those that are asked for."""

from __future__ import annotations

from spgrepl.text.role_log import RoleLogger
from spgrepl.text.shown import shown_names


class UnknownPublications:
    """What the master has said of them on the connection that there is.

    Attributes:
        names: Those that are unknown; none where the master does not tell.
    """

    _log = RoleLogger()

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        """Their names as they may stand in a status."""
        return tuple(shown_names(self.names))

    def told(self, names: tuple[str, ...] | None) -> None:
        """Take what the master has said; None where it has said nothing."""
        if names is None or names == self.names:
            return
        self.names = names
        if names:
            self._log.warn(
                "the master does not know the publications {names}: they were never made there, or were dropped, "
                "and bring nothing",
                names=", ".join(self.shown),
            )
        else:
            self._log.info("the master knows all publications that are asked for again")

    def forget(self) -> None:
        """There is another connection, on which nothing was said yet."""
        self.names = ()

"""Those who are told when publications or subscriptions may have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from spgrepl.catalogue.statements import is_control
from spgrepl.primary.parts.requests import Request
from spgrepl.text.role_log import RoleLogger


class CatalogueListeners:
    """Calls listeners; one that fails is logged, and keeps nobody from anything.

    Args:
        database: The database whose catalogue it is, for the log.
    """

    _log = RoleLogger()

    def __init__(self, database: Path) -> None:
        self._database = database
        self._listeners: list[Callable[[], None]] = []

    def add(self, listener: Callable[[], None]) -> None:
        """Tell somebody from now on."""
        self._listeners.append(listener)

    def remove(self, listener: Callable[[], None]) -> None:
        """Tell them no more; nothing happens when they were not told before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def answered(self, requests: Sequence[Request]) -> None:
        """Tell all of them where one of some requests may have changed the catalogue."""
        if self._listeners and any(is_control(sql) for one in requests for sql in one.statements):
            self.tell()

    def tell(self) -> None:
        """Tell all of them."""
        for listener in tuple(self._listeners):
            try:
                listener()
            except Exception:  # noqa: BLE001 - it must not keep others from their answers
                self._log.failure("a listener of {path} failed", path=self._database)

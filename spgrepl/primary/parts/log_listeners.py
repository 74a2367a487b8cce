"""Those in a primary's own program who are told when its log is durable further than it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from spgrepl.text.role_log import RoleLogger


class LogListeners:
    """Calls listeners in the reactor's thread, without a detour by way of the kernel; one that fails is logged.

    Add the `look` of a `WalTailer` that serves the primary's log in the same program: it needs no inotify then.

    Args:
        reactor: The reactor.
        wal: The log, for messages.
    """

    _log = RoleLogger()

    def __init__(self, reactor: Any, wal: Path) -> None:
        self._reactor = reactor
        self._wal = wal
        self._listeners: tuple[Callable[[], object], ...] = ()
        self._due = False

    def add(self, listener: Callable[[], object]) -> None:
        """Tell somebody from now on."""
        self._listeners += (listener,)

    def remove(self, listener: Callable[[], object]) -> None:
        """Tell them no more; nothing happens when they were not told before."""
        self._listeners = tuple(one for one in self._listeners if one != listener)

    def tell_soon(self) -> None:
        """Tell all of them in the reactor's thread; called in the writer's, as often as it likes."""
        if self._listeners and not self._due:
            self._due = True
            self._reactor.callFromThread(self._call_listeners)

    def _call_listeners(self) -> None:
        self._due = False
        for listener in self._listeners:
            try:
                listener()
            except Exception:  # noqa: BLE001 - it must not keep others from hearing
                self._log.failure("a listener of {path} failed", path=self._wal)

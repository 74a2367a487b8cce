"""The only one that lets a master's bytes in or keeps them out: whoever has no room holds the gate."""

from __future__ import annotations

from collections.abc import Callable

from spgrepl.interfaces.store import IStore


class Gate:
    """Pauses a connection while anybody holds it.

    Args:
        pause: Called when nothing more is to be read.
        resume: Called when it is to be read again.
    """

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._pause = pause
        self._resume = resume
        self._holders: set[object] = set()

    @property
    def shut(self) -> bool:
        """Whether somebody holds the gate."""
        return bool(self._holders)

    def hold(self, holder: object) -> None:
        """Let nothing more in until the holder releases the gate."""
        if not self._holders:
            self._pause()
        self._holders.add(holder)

    def release(self, holder: object) -> None:
        """Let more in again, unless others hold the gate. Nothing happens where this one does not hold it."""
        if holder in self._holders:
            self._holders.discard(holder)
            if not self._holders:
                self._resume()

    def look(self, *stores: IStore) -> None:
        """Hold the gate for each store that is full, until it is drained."""
        for store in stores:
            if store.full:
                self.hold(store)
            elif store.drained:
                self.release(store)

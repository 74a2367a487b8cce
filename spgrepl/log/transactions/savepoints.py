"""The savepoints that are set in a transaction, by name, in little memory."""

from __future__ import annotations

from array import array

MAX_SAVEPOINTS = 1_000_000
"""How many savepoints may be set at once. Drivers set one before each statement, and release none."""

MAX_NAMES = 100_000
"""How many different names they may have."""


class TooManySavepoints(Exception):
    """A transaction sets more savepoints than are followed; the message says which bound it crosses."""


class Savepoints:
    """A stack of savepoints, of which several may have one name: the last one that was set counts."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._names: list[str] = []
        self._places: dict[str, array[int]] = {}

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, start: int) -> None:
        """Set a savepoint.

        Args:
            name: Its name.
            start: Where its record starts.

        Raises:
            TooManySavepoints: It is one too many.
        """
        if len(self._names) >= MAX_SAVEPOINTS:
            raise TooManySavepoints(f"more than {MAX_SAVEPOINTS} savepoints are set at once")
        places = self._places.get(name)
        if places is None:
            if len(self._places) >= MAX_NAMES:
                raise TooManySavepoints(f"savepoints of more than {MAX_NAMES} names are set at once")
            places = self._places[name] = array("Q")
        # The name that is known already, and not an equal one: a million of them are one object.
        self._names.append(self._names[places[-1]] if places else name)
        places.append(len(self._starts))
        self._starts.append(start)

    def find(self, name: str) -> int | None:
        """The number of the last savepoint of a name, from 0; None where there is none."""
        places = self._places.get(name)
        return places[-1] if places else None

    def start(self, number: int) -> int:
        """Where the record of a savepoint starts."""
        return self._starts[number]

    def cut(self, number: int) -> None:
        """Forget the savepoints from a number on."""
        while len(self._names) > number:
            name = self._names.pop()
            self._starts.pop()
            places = self._places[name]
            places.pop()
            if not places:
                del self._places[name]

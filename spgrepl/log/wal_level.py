"""The effective WAL level of a server: whether subscribers are served beside followers."""

from __future__ import annotations

import enum
from collections.abc import Callable

from spgrepl.errors import UsageError
from spgrepl.text.role_log import RoleLogger


class Level(enum.StrEnum):
    """What a master serves its log for."""

    REPLICA = "replica"
    """For followers only, who take the whole log."""

    LOGICAL = "logical"
    """For subscribers too, who take the tables that they asked for."""

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read a level as users write it; capital letters do not matter, as in PostgreSQL.

        Raises:
            UsageError: The text is not a level.
        """
        try:
            return cls(text.lower())
        except ValueError:
            raise UsageError(f"{text!r} is not a WAL level: there are replica and logical") from None


LevelListener = Callable[[Level], None]


class WalLevel:
    """The WAL level that is in effect, for all those in a process to whom it was given.

    Neither the log nor the database holds it. What ``SET effective_wal_level`` left lies beside the log, and holds
    again after a restart, unless the program states a level. All methods are called in the reactor's thread.

    Args:
        level: The level to begin with; None for the one that was left, or `replica`.
    """

    _log = RoleLogger()

    def __init__(self, level: Level | str | None = None) -> None:
        self._value = Level.REPLICA if level is None else Level.parse(level)
        self._chosen = level is not None
        self._listeners: list[LevelListener] = []

    @property
    def value(self) -> Level:
        """The level; it equals its name, ``"replica"`` or ``"logical"``."""
        return self._value

    @property
    def is_logical(self) -> bool:
        """Whether subscribers are served."""
        return self._value is Level.LOGICAL

    def set(self, level: Level | str) -> None:
        """Put a level into effect, and tell the listeners where it is another one than before.

        Raises:
            UsageError: The text is not a level.
        """
        value = Level.parse(level)
        self._chosen = True
        self._change(value)

    def restore(self, level: Level) -> None:
        """Put the level into effect that was left, unless one was chosen since then."""
        if not self._chosen:
            self._change(level)
        elif level is not self._value:
            self._log.info(
                "effective_wal_level is {now}, as stated; SET had left {before}", now=self._value, before=level
            )

    def _change(self, value: Level) -> None:
        if value is self._value:
            return
        self._log.info("effective_wal_level is {now}, and was {before}", now=value, before=self._value)
        self._value = value
        for listener in tuple(self._listeners):
            try:
                listener(value)
            except Exception:  # noqa: BLE001 - one listener's defect is logged, and the others are told all the same
                self._log.failure("a listener failed at the change of effective_wal_level")

    def add_listener(self, listener: LevelListener) -> None:
        """Call somebody with the new level at each change from now on."""
        self._listeners.append(listener)

    def remove_listener(self, listener: LevelListener) -> None:
        """Call them no more; nothing happens when they were not called before."""
        if listener in self._listeners:
            self._listeners.remove(listener)

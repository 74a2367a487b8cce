"""Whose line of the log it is: each begins with a role and its name, and has both as fields."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import attrs
from twisted.logger import Logger, LogLevel


@attrs.frozen
class Speaker:
    """A role that says something in the log.

    Attributes:
        role: What it is: ``master``, ``follower``, ``subscriber``.
        name: Its short name, as in the status and in metrics.
    """

    role: str
    name: str


_speaking: ContextVar[Speaker | None] = ContextVar("spgrepl_speaking", default=None)
_running: WeakKeyDictionary[object, Speaker] = WeakKeyDictionary()


def began(owner: object, speaker: Speaker) -> None:
    """A role begins. While it is the only one of this process, all that is said here is said of it."""
    _running[owner] = speaker


def ended(owner: object) -> None:
    """A role has ended."""
    _running.pop(owner, None)


def speak_for(speaker: Speaker | None, *parts: object) -> None:
    """Have the lines of parts of a role say whose they are, where a process has several roles."""
    for part in parts:
        if part is not None:
            part._speaker = speaker  # type: ignore[attr-defined]  # noqa: SLF001


@contextlib.contextmanager
def speaking(speaker: Speaker | None) -> Iterator[None]:
    """Have what is called inside a block, such as functions, say whose it is where it does not know itself."""
    token = _speaking.set(speaker or _speaking.get())
    try:
        yield
    finally:
        _speaking.reset(token)


class RoleLogger(Logger):
    """A logger whose lines begin with the role that they are about, which JSON has as ``role`` and ``name``.

    The role is the attribute ``_speaker`` of the object that logs, where it has one; else that of `speaking`; else
    the one role of the process. An event that names its role itself is left as it is.
    """

    def emit(self, level: LogLevel, format: str | None = None, **kwargs: object) -> None:  # noqa: A002
        """See `twisted.logger.Logger`."""
        if "role" not in kwargs:
            speaker: Speaker | None = getattr(self.source, "_speaker", None) or _speaking.get() or _only()
            if speaker is not None and format is not None:
                kwargs = {"name": speaker.name, **kwargs, "role": speaker.role, "role_name": speaker.name}
                format = "{role} {role_name}: " + format  # noqa: A001
        super().emit(level, format, **kwargs)


def _only() -> Speaker | None:
    found = list(_running.values())
    return found[0] if len(found) == 1 else None

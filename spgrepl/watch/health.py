"""``/healthz`` and ``/readyz``: for whoever starts processes, and for whoever sends them work."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from twisted.web.server import Request

from spgrepl.text.quantities import in_seconds
from spgrepl.watch.leaf import Leaf
from spgrepl.watch.metrics import Watched

DEFAULT_READY_LAG = 10.0
"""How old a copy may be, in seconds, and still be ready."""


class TextResource(Leaf):
    """Answers with a few lines of text."""

    @abstractmethod
    def answer(self) -> tuple[int, str]:
        """The HTTP status code, and the text."""

    def body(self, request: Request) -> bytes:
        """See `Leaf`."""
        code, text = self.answer()
        request.setResponseCode(code)
        request.setHeader(b"content-type", b"text/plain; charset=utf-8")
        return text.encode() + b"\n"


class Healthz(TextResource):
    """Answers 200: the reactor turns, or there would be no answer."""

    def answer(self) -> tuple[int, str]:
        """See `TextResource`."""
        return 200, "ok"


class Readyz(TextResource):
    """Answers 200 while all roles are caught up, with their warnings, and else 503 with the reasons.

    Args:
        watched: The roles.
        ready_lag: How old a copy may be, in seconds.
    """

    def __init__(self, watched: Sequence[Watched], ready_lag: float = DEFAULT_READY_LAG) -> None:
        super().__init__()
        self._watched = watched
        self._ready_lag = ready_lag

    def answer(self) -> tuple[int, str]:
        """See `TextResource`."""
        told = [one.status() for one in self._watched]
        reasons = [why for status in told if (why := not_ready(status, self._ready_lag))]
        if reasons:
            return 503, "\n".join(reasons)
        # They serve nevertheless: whoever sends them work may go on, and is told.
        return 200, "\n".join(["ready", *(str(status["warning"]) for status in told if status.get("warning"))])


def not_ready(status: Mapping[str, Any], ready_lag: float) -> str | None:
    """Say why a role is not ready; None where it is.

    A master is ready while it serves. A copy is ready while it is known to be at most so old: not while it has no
    connection, since nobody knows then what it lacks.

    Args:
        status: The role's status.
        ready_lag: How old a copy may be, in seconds.
    """
    role, state, error = status["role"], status["state"], status.get("error")
    because = f": {error}" if error else ""
    if role == "master":
        return None if state == "serving" and not error else f"the master is {state}{because}"
    seconds = status["lag"]["seconds"]
    if state == "stopped" or seconds is None:
        return f"the {role} is {state}{because}"
    if seconds > ready_lag:
        return (
            f"the {role} is {state}, its newest change is {seconds:.1f} s old, more than "
            f"{in_seconds(ready_lag)}{because}"
        )
    return None

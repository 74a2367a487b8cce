"""Frames that are not known: sent on purpose by a newer master, or known ones that were damaged on their way."""

from __future__ import annotations

from spgrepl.wire.frames import FrameType

_KNOWN = frozenset(int(known) for known in FrameType)


class UnknownTypes:
    """Tells frames that a master means to send from those of which a bit was turned over.

    A frame whose type or length was damaged may swallow a part of the log: whole frames behind it, too, where the
    length grew. Nothing in it shows that. But a damaged frame does not come again: what came on the connection
    before is sent on purpose. Of a type that is known, such as a STATUS of another size, the length counts too.

    Attributes:
        rested_at: The position of the last stream that came to rest before the end of the master's log. A part of
            that one may have been swallowed; where the next one comes to rest there again, the master has nothing
            to send, as while a transaction is open.
    """

    def __init__(self) -> None:
        self._before: set[tuple[int, int]] = set()
        self._now: set[tuple[int, int]] = set()
        self.rested_at: int | None = None

    def begin(self) -> None:
        """A stream begins, on another connection."""
        self._before, self._now = self._now, set()

    def on_purpose(self, kind: int, length: int) -> bool:
        """Take a frame, and say whether such a one came on the connection before.

        Args:
            kind: Its type.
            length: The length of its payload in bytes.
        """
        key = (kind, length if kind in _KNOWN else 0)
        self._now.add(key)
        return key in self._before

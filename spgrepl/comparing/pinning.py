"""Two databases of one history, each read as it was at one and the same position. Blocking."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import attrs

from spgrepl.base.histories import History
from spgrepl.base.results import Position
from spgrepl.errors import ConfigurationError, DifferentHistory, EngineFailed, WaitTimeout
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.session import plain_connection
from spgrepl.sqlite.state import ROLE_PRIMARY, StoredState

_LOOK_EVERY = 0.005


@attrs.frozen
class Pinned:
    """Two databases in read transactions that see the same position.

    Attributes:
        connections: Their connections, in the order in which they were named.
        position: The position, as the history counts that both know.
        held: For how many seconds one of them could not be written.
    """

    connections: tuple[apsw.Connection, apsw.Connection]
    position: Position
    held: float


@attrs.frozen
class _End:
    """One of the two databases."""

    path: Path
    connection: apsw.Connection

    def stored(self) -> StoredState:
        found = sqlite_state.read_state(self.connection)
        if found is None:
            raise ConfigurationError(f"{self.path} is not the database of a primary or a follower")
        return found

    def look(self) -> int:
        """Begin to read what is there now; returns its position."""
        self.leave()
        self.connection.execute("BEGIN")
        return self.stored().replay.position

    def leave(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")


def _known(stored: StoredState) -> tuple[History, ...]:
    return stored.served if stored.role == ROLE_PRIMARY else stored.replay.histories


@contextlib.contextmanager
def pinned(first: Path, second: Path, seconds: float) -> Iterator[Pinned]:
    """Read two databases as they were at one position.

    The one that is ahead takes no writes until the other one has come to where it stands: whoever writes it waits
    so long. From then on both go on, and what is read stays as it was.

    Args:
        first: A primary's database, or a copy.
        second: A copy of it, or of the same primary, or that primary's.
        seconds: For how long one may be held.

    Raises:
        ConfigurationError: One of them has no position.
        DifferentHistory: They share no history.
        WaitTimeout: The other one did not come in time.
        EngineFailed: One of them cannot be read, or another program keeps it locked.
    """
    with contextlib.ExitStack() as stack:
        try:
            ends = [
                _End(path, stack.enter_context(contextlib.closing(plain_connection(path, read_only=True))))
                for path in (first, second)
            ]
            one, other = ends
            offsets = _offsets(one, other)
            began = time.monotonic()
            ahead, position = 0, None
            while position is None:
                # Two copies may pass one another while nobody holds either.
                ahead = int(one.look() + offsets[0].offset < other.look() + offsets[1].offset)
                step = offsets[ahead].offset - offsets[1 - ahead].offset
                position = _meet(ends[ahead], ends[1 - ahead], step, seconds - (time.monotonic() - began))
            held = time.monotonic() - began
        except apsw.Error as error:
            raise EngineFailed(f"{first} and {second} cannot be read at one position: {error}") from error
        shared = offsets[ahead]
        yield Pinned(
            (one.connection, other.connection), Position(position + shared.offset, history=shared.id), held
        )


def _offsets(one: _End, other: _End) -> tuple[History, History]:
    """A history that both know, as each of them counts."""
    ours, theirs = _known(one.stored()), {known.id: known for known in _known(other.stored())}
    for history in ours:
        if history.id in theirs and history.stop is None and theirs[history.id].stop is None:
            return history, theirs[history.id]
    raise DifferentHistory(
        f"{one.path} and {other.path} share no history that goes on in both: compare them without --pinned, while "
        f"nobody writes them"
    )


def _meet(ahead: _End, behind: _End, step: int, seconds: float) -> int | None:
    """Hold one database until the other has come to its position.

    Returns:
        That, as the first counts; None where the other one was beyond it already.
    """
    end = time.monotonic() + seconds
    # A connection that may write, for the lock alone.
    with contextlib.closing(plain_connection(ahead.path)) as holding:
        holding.execute("BEGIN IMMEDIATE")
        position = ahead.look()
        while (found := behind.look()) < position + step:
            behind.leave()
            if time.monotonic() > end:
                raise WaitTimeout(
                    f"{behind.path} stands at {found} and did not come to {position + step} within {seconds:g} s, "
                    f"where {ahead.path} was held meanwhile"
                )
            time.sleep(_LOOK_EVERY)
        holding.execute("ROLLBACK")
    return position if found == position + step else None

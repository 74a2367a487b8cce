"""Two databases of one history, each read as it was at one and the same position. Blocking."""

from __future__ import annotations

import time

import apsw
import attrs

from spgrepl.base.histories import History
from spgrepl.base.results import Position
from spgrepl.comparing.ends import ComparedEnd
from spgrepl.errors import DifferentHistory, EngineFailed, WaitTimeout
from spgrepl.text.quantities import in_seconds

_LOOK_EVERY = 0.005


@attrs.frozen
class Pinned:
    """Where two databases are read.

    Attributes:
        position: The position, as the history counts that both know.
        held: For how many seconds one of them could not be written.
    """

    position: Position
    held: float


def pin(first: ComparedEnd, second: ComparedEnd, seconds: float) -> Pinned:
    """Have two databases be read as they were at one position.

    The one that is ahead takes no writes until the other one has come to where it stands: whoever writes it waits
    so long. From then on both go on, and what is read stays as it was, until they are left or closed.

    Args:
        first: A primary's database, or a copy.
        second: A copy of it, or of the same primary, or that primary's.
        seconds: For how long one may be held.

    Raises:
        ConfigurationError: One of them has no position.
        UsageError: One has several subscriptions, and nobody chose.
        DifferentHistory: They share no history.
        WaitTimeout: The other one did not come in time.
        EngineFailed: One of them cannot be read, or another program keeps it locked.
    """
    try:
        ends = (first, second)
        offsets = _offsets(first, second)
        began = time.monotonic()
        ahead, position = 0, None
        while position is None:
            # Two copies may pass one another while nobody holds either.
            ahead = int(first.look() + offsets[0].offset < second.look() + offsets[1].offset)
            step = offsets[ahead].offset - offsets[1 - ahead].offset
            position = _meet(ends[ahead], ends[1 - ahead], step, began, seconds)
        held = time.monotonic() - began
    except apsw.Error as error:
        raise EngineFailed(f"{first} and {second} cannot be read at one position: {error}") from error
    shared = offsets[ahead]
    return Pinned(Position(position + shared.offset, history=shared.id), held)


def _offsets(first: ComparedEnd, second: ComparedEnd) -> tuple[History, History]:
    """A history that both know, as each of them counts."""
    ours, theirs = first.stands().histories, {known.id: known for known in second.stands().histories}
    for history in ours:
        if history.id in theirs and history.stop is None and theirs[history.id].stop is None:
            return history, theirs[history.id]
    raise DifferentHistory(
        f"{first} and {second} share no history that goes on in both: compare them without --pinned, while "
        f"nobody writes them"
    )


def _meet(ahead: ComparedEnd, lagging: ComparedEnd, step: int, began: float, seconds: float) -> int | None:
    """Hold one database until the other has come to its position.

    Returns:
        That, as the first counts; None where the other one was beyond it already.
    """
    with ahead.holding():
        position = ahead.look()
        while (found := lagging.look()) < position + step:
            lagging.leave()
            if time.monotonic() - began >= seconds:
                raise WaitTimeout(
                    f"{lagging} stands at {found} and did not come to {position + step} within "
                    f"{in_seconds(seconds)}, where {ahead} was held meanwhile"
                )
            time.sleep(_LOOK_EVERY)
    return position if found == position + step else None

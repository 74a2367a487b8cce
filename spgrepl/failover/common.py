"""What two databases share of the histories that both know."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from spgrepl.base.histories import History


@attrs.frozen
class Shared:
    """The longest part of a history that both sides hold.

    Attributes:
        id: The history.
        here: Where it ends, as it counts here.
        there: The same byte, as it counts there.
        stop: The same, as the history counts.
    """

    id: str
    here: int
    there: int
    stop: int


def longest_shared(
    ours: Iterable[History], position: int, theirs: Iterable[History], length: int
) -> Shared | None:
    """Find out how far two logs are the same.

    Args:
        ours: The histories here.
        position: Where this side stands, as it counts here.
        theirs: The histories there.
        length: Where the other side stands, as it counts there.

    Returns:
        The shared part that reaches furthest; None where no history is known on both sides.
    """
    known = {one.id: one for one in theirs}
    best: Shared | None = None
    for our in ours:
        their = known.get(our.id)
        if their is None:
            continue
        ends = [position + our.offset, length + their.offset]
        ends += [one.stop for one in (our, their) if one.stop is not None]
        stop = min(ends)
        found = Shared(our.id, stop - our.offset, stop - their.offset, stop)
        if best is None or found.here > best.here:
            best = found
    return best

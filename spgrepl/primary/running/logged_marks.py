"""How far subscriptions come with the requests that carry their rows: in the database, and beside the log."""

from __future__ import annotations

from collections.abc import Iterable

from spgrepl.engines.targets.stored_state import begin_subscription, keep_skipped, move_subscription
from spgrepl.errors import SubscriptionGone
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.parts.marks import LoggedMark, SubscriptionMark
from spgrepl.primary.parts.requests import Applied
from spgrepl.sqlite.any_connection import SqlConnection


def marks_of(start: int, recording: Recording, applied: Iterable[Applied]) -> list[LoggedMark]:
    """Say which part of the log will hold rows of which subscription.

    Args:
        start: The position in the log where the recording will begin.
        recording: What will be logged.
        applied: What was applied; what has no mark, or is not logged, needs none.
    """
    return [
        LoggedMark(
            start + one.start,
            start + one.stop,
            recording.crc(one.start, one.stop),
            one.mark.name,
            one.mark.state,
        )
        for one in applied
        if one.mark is not None and one.logged
    ]


def write_mark(connection: SqlConnection, mark: SubscriptionMark) -> None:
    """Write how far a subscription has come, inside the open transaction.

    Raises:
        SubscriptionGone: The subscription is not where its rows follow on: it was dropped, or begun again.
        apsw.Error: The disk refuses.
    """
    if mark.known is None:
        begin_subscription(connection, mark.name, mark.state)
    elif not move_subscription(connection, mark.name, mark.known, mark.state):
        raise SubscriptionGone(
            f"the subscription {mark.name} does not stand at position {mark.known.position} any more: it was "
            f"dropped, or begun again"
        )
    for position, record, sql, reason in mark.skipped:
        keep_skipped(connection, mark.name, position, record, sql, reason)

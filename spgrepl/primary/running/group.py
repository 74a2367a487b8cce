"""The requests of a group, applied one after the other inside its transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from spgrepl.errors import EngineFailed, SpgReplError
from spgrepl.primary.parts.requests import Applied, Request
from spgrepl.primary.parts.together import FailedTogether, plain_run
from spgrepl.primary.running.plain_requests import apply_plain
from spgrepl.primary.running.session import WriterSession

_Result = TypeVar("_Result")
Outcome = Applied | SpgReplError


def apply_all(session: WriterSession, requests: Sequence[Request], stop_at_failure: bool) -> list[Outcome]:
    """Apply requests inside the open transaction; one that fails leaves no trace.

    Args:
        session: What applies them.
        requests: The requests.
        stop_at_failure: Whether to leave out what follows a request that fails.

    Returns:
        What became of each, in order; fewer where `stop_at_failure` left some out.

    Raises:
        EngineFailed: The disk refuses what is needed to go on after a failure.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(requests):
        count, texts = plain_run(requests, len(outcomes)) if session.may_put_together else (1, [])
        if texts:
            # Where one fails, nothing is put together any more, and it shows which one it is.
            found = _apply(session, outcomes, partial(apply_plain, session, texts))
            outcomes += found if isinstance(found, list) else ()
            continue
        for request in requests[len(outcomes) : len(outcomes) + count]:
            outcome = _apply(session, outcomes, partial(session.apply, request))
            if isinstance(outcome, FailedTogether):
                outcome = _apply(session, outcomes, partial(session.apply, request))
            outcomes.append(outcome)
            if stop_at_failure and not isinstance(outcome, Applied):
                return outcomes
    return outcomes


def _apply(
    session: WriterSession, outcomes: Sequence[Outcome], work: Callable[[], _Result]
) -> _Result | SpgReplError:
    try:
        return work()
    except SpgReplError as error:
        if isinstance(error, EngineFailed) or not session.in_transaction:
            # The failure took the transaction with it, as INSERT OR ROLLBACK does, or may have.
            _apply_again(session, [done for done in outcomes if isinstance(done, Applied)])
        return error


def _apply_again(session: WriterSession, done: list[Applied]) -> None:
    """Bring about once more what requests did, from what was recorded of it."""
    session.rollback()
    session.begin()
    session.reapply(session.recording.statements(), rows=True)
    for applied in done:
        for name, on in applied.settings:
            session.store_setting(name, on)
        if applied.mark is not None:
            session.write_mark(applied.mark)

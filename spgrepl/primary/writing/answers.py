"""What callers are told of the requests of a group."""

from __future__ import annotations

from collections.abc import Sequence

from spgrepl.errors import LoggedNotApplied, SpgReplError
from spgrepl.primary.parts.requests import Answer, Applied, Written


def answers_of(outcomes: Sequence[Applied | SpgReplError], start: int) -> list[Answer]:
    """The answers where all that was applied is logged and durable.

    Args:
        outcomes: What became of the requests in the database.
        start: The position in the log at which the group begins.
    """
    return [Written(start + one.stop, one.results) if isinstance(one, Applied) else one for one in outcomes]


def applied_later(
    outcomes: Sequence[Applied | SpgReplError], answers: list[Answer], error: Exception
) -> list[Answer]:
    """The answers where the log holds what the database could not commit.

    Args:
        outcomes: What became of the requests in the database.
        answers: What `answers_of` made of it.
        error: Why it could not.
    """
    return [
        LoggedNotApplied(
            f"the statement is in the log and durable, but {error}; it is applied as soon as that is over: do not "
            f"repeat it",
            answer.position,
        )
        if isinstance(outcome, Applied) and isinstance(answer, Written) and outcome.logged
        else answer
        for outcome, answer in zip(outcomes, answers, strict=True)
    ]

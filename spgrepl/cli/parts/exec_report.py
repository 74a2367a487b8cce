"""What ``spgrepl exec`` says of statements that did not just succeed: of each what is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from spgrepl.cli.parts.exec_plan import Step
from spgrepl.cli.parts.rows import printable
from spgrepl.errors import LoggedNotApplied, OutcomeUnknown, SpgReplError, StatementFailed

_SHOWN_SQL = 200


class StepFailed(Exception):
    """A step failed, and was reported.

    Attributes:
        exit_code: The exit code that says so.
        last: The last step of which something was reported; those after it were not run.
    """

    def __init__(self, exit_code: int, last: Step) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
        self.last = last


def report(step: Step, error: SpgReplError) -> NoReturn:
    """Name a statement that failed, its text and the reason.

    Raises:
        StepFailed: Always.
    """
    number, sql = step.number, step.sql
    if isinstance(error, StatementFailed):
        sql = error.sql
        if step.request is not None and step.request.transaction:
            number += error.number
    became = f"may have been done or not ({error})" if isinstance(error, OutcomeUnknown) else f"failed: {error}"
    _say(f"spgrepl: statement {number} {became}\n  {_shown(sql)}")
    if step.request is not None and step.request.transaction and not isinstance(error, OutcomeUnknown):
        _say("Nothing of its transaction was run.")
    raise StepFailed(error.exit_code, step) from error


def shared_fate(steps: Sequence[Step], answers: Sequence[object]) -> SpgReplError | None:
    """The one error that several statements were answered with together; None where each has its own answer."""
    first = answers[0]
    shared = len(steps) > 1 and len(answers) == len(steps) and all(answer is first for answer in answers)
    return first if shared and isinstance(first, SpgReplError) else None


def report_all(steps: Sequence[Step], error: SpgReplError) -> NoReturn:
    """Say that several statements share their fate, because they share an fsync.

    Args:
        steps: Two at least.
        error: Why none of them is known to be done.

    Raises:
        StepFailed: Always.
    """
    if isinstance(error, OutcomeUnknown):
        _say(f"spgrepl: each of these may have been done or not: {error}")
    else:
        _say(f"spgrepl: none of these was done: {error}")
    for step in steps:
        _say(f"  statement {step.number}: {_shown(step.sql)}")
    raise StepFailed(error.exit_code, steps[-1]) from error


def say_logged(step: Step, outcome: LoggedNotApplied) -> None:
    """Say of a statement that it is done, though it is not in the database yet."""
    _say(f"spgrepl: statement {step.number} is done, at position {outcome.position}: {outcome}")
    _say(f"  {_shown(step.sql)}")


def say_not_run(steps: Sequence[Step]) -> None:
    """Say of statements that nothing of them was tried."""
    if steps:
        last = "" if len(steps) == 1 else " and those after it"
        _say(f"Not run: statement {steps[0].number}{last}.")


def say_source(file: Path, before: int) -> None:
    """Say where statements come from of which one failed.

    Args:
        file: The script.
        before: How many arguments with statements were run before it.
    """
    source = "standard input" if str(file) == "-" else printable(str(file))
    _say(f"The statements are those of {source}{', after those of the command line' if before else ''}.")


def say_warning(text: str) -> None:
    """Say what is wrong though everything was done."""
    _say(f"spgrepl: warning: {text}")


def _shown(sql: str) -> str:
    shown = " ".join(sql.split())
    return printable(shown if len(shown) <= _SHOWN_SQL else f"{shown[:_SHOWN_SQL]}…")


def _say(text: str) -> None:
    sys.stdout.flush()
    print(text, file=sys.stderr)

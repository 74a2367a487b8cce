"""Requests of one plain statement each, as programs make them by the thousands: applied together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from spgrepl.errors import SpgReplError
from spgrepl.primary.changes.sequences import Counted
from spgrepl.primary.parts.requests import Applied
from spgrepl.primary.running.session import WriterSession

_SAVEPOINT = "spgrepl_plain"


def apply_plain(session: WriterSession, texts: Sequence[str]) -> list[Applied]:
    """Apply requests together inside the open transaction; where one fails, none leaves a trace.

    Args:
        session: What applies them; nothing is put together by it any more after a failure.
        texts: The one statement of each, which `spgrepl.primary.parts.together` has put together.

    Returns:
        What became of each, in order; nothing where they cannot be applied together in this database.

    Raises:
        FailedTogether: One was refused.
        EngineFailed: The disk refuses.
    """
    recording, runner = session.recording, session.runner
    if runner.holds_back():
        session.may_put_together = False
        return []
    counted = runner.recorder.sequences.save()
    session.storage(f"SAVEPOINT {_SAVEPOINT}")
    # Rows that are to be there when a request ends are looked for after each.
    if not runner.keeps_foreign_keys:
        places = _run_group(session, texts, counted)
        if places is not None:
            session.storage(f"RELEASE {_SAVEPOINT}")
            return [Applied(begin, end, ()) for begin, end in pairwise(places)]
    recording.begin()
    start = recording.mark()
    stops = [start.length]

    def end_one() -> None:
        runner.require_rows_of_keys(texts[len(stops) - 1])
        recording.end()
        stops.append(recording.length)
        recording.begin()

    try:
        runner.together.run(texts, end_one)
    except (SpgReplError, OSError) as error:
        recording.undo_to(start)
        raise _undone(session, counted, error) from error
    session.storage(f"RELEASE {_SAVEPOINT}")
    return [Applied(begin, end, ()) for begin, end in pairwise(stops)]


def _run_group(session: WriterSession, texts: Sequence[str], counted: Counted | None) -> list[int] | None:
    """Run all in the compiled core; None where that cannot be, and nothing of it is left."""
    try:
        places = session.runner.together.run_group(texts)
    except (SpgReplError, OSError) as error:
        raise _undone(session, counted, error) from error
    if places is None:
        session.runner.recorder.sequences.restore(counted)
        session.storage(f"ROLLBACK TO {_SAVEPOINT}")
    return places


def _undone(session: WriterSession, counted: Counted | None, error: SpgReplError | OSError) -> SpgReplError:
    """Undo what was run together; return what the caller is told."""
    session.runner.recorder.sequences.restore(counted)
    session.may_put_together = False
    session.back_to(_SAVEPOINT)
    return session.told(error)

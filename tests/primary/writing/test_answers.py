"""What callers are told of the requests of a group."""

from __future__ import annotations

from spgrepl.base.results import QueryResult
from spgrepl.errors import LoggedNotApplied, StatementFailed
from spgrepl.primary.parts.requests import Applied, Written
from spgrepl.primary.writing.answers import answers_of, applied_later

ROWS = (QueryResult(("a",), [(1,)]),)
FAILED = StatementFailed("no such table", "SELECT 1")
OUTCOMES = [Applied(0, 10, ROWS), FAILED, Applied(10, 10, ()), Applied(10, 30, ())]


def test_each_has_its_position_or_its_error() -> None:
    assert answers_of(OUTCOMES, 100) == [Written(110, ROWS), FAILED, Written(110, ()), Written(130, ())]


def test_what_is_logged_and_not_in_the_database_must_not_be_repeated() -> None:
    answers = answers_of(OUTCOMES, 100)
    first, second, third, fourth = applied_later(OUTCOMES, answers, OSError("the disk is full"))
    assert (second, third) == (FAILED, answers[2])
    for answer, position in ((first, 110), (fourth, 130)):
        assert isinstance(answer, LoggedNotApplied)
        assert answer.position == position
        assert "the disk is full; it is applied as soon as that is over: do not repeat it" in str(answer)

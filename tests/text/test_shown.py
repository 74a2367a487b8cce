"""Words for how long something takes, and what strangers wrote."""

from __future__ import annotations

import pytest

from spgrepl.text.shown import LONGEST_SHOWN, shown_left, shown_quoted, shown_seconds


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (5999, "100 min"), (7200, "2.0 h")]
)
def test_how_long(seconds: float, said: str) -> None:
    assert shown_seconds(seconds) == said


def test_how_much_longer_at_the_same_rate() -> None:
    assert shown_left(10, 40, 5.0) == "15 s left"
    assert shown_left(50, 40, 5.0) == "0 s left"


def test_what_somebody_wrote_is_shown_as_far_as_it_may_be_long() -> None:
    assert shown_quoted("it's\n") == repr("it's\n")
    assert shown_quoted("x" * LONGEST_SHOWN) == repr("x" * LONGEST_SHOWN)
    assert shown_quoted("x" * 9000) == repr("x" * LONGEST_SHOWN) + "… (9000 characters)"

"""Words for how long something takes."""

from __future__ import annotations

import pytest

from spgrepl.text.shown import shown_left, shown_seconds


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (99, "99 s"), (120, "2 min"), (5999, "100 min"), (7200, "2.0 h")]
)
def test_how_long(seconds: float, said: str) -> None:
    assert shown_seconds(seconds) == said


def test_how_much_longer_at_the_same_rate() -> None:
    assert shown_left(10, 40, 5.0) == "15 s left"
    assert shown_left(50, 40, 5.0) == "0 s left"

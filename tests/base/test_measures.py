"""Histograms."""

from __future__ import annotations

import pytest

from spgrepl.base.measures import Histogram


def test_values_are_counted_by_class() -> None:
    found = Histogram((1.0, 10.0))
    for value in (0.5, 1.0, 1.5, 10.0, 11.0):
        found.observe(value)
    assert found.cumulative() == [2, 4, 5]
    assert found.count == 5
    assert found.sum == 24.0


def test_a_call_is_timed_also_when_it_raises() -> None:
    found = Histogram((1.0,))
    assert found.time(int, "12") == 12
    with pytest.raises(ValueError, match="invalid"):
        found.time(int, "x")
    assert found.count == 2
    assert 0 < found.sum < 1

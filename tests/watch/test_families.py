"""The samples of a scrape, gathered by family."""

from __future__ import annotations

import pytest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from spgrepl.base.measures import Histogram
from spgrepl.watch.families import Families
from spgrepl.watch.registry import METRICS, ROLE_LABELS, Kind

GAUGE = "spgrepl_lag_seconds"
LABELLED = next(one for one in METRICS.values() if one.kind is Kind.COUNTER and len(one.labels) == 1)


def made(*roles: tuple[str, str]) -> Families:
    families = Families()
    for role in roles:
        families.labels = role
        families.gauge(GAUGE, 1.5)
        families.counters(LABELLED.name, {"a": 1, "b": 2})
    return families


def samples(families: Families, name: str) -> list[tuple[str, tuple[str, ...], float]]:
    (family,) = [one for one in families if isinstance(one, Metric) and one.name == name]
    return [(one.name, tuple(one.labels.values()), one.value) for one in family.samples]


def test_several_roles_share_a_family() -> None:
    families = made(("master", "a"), ("follower", "b"))
    assert sorted(one.name for one in families) == sorted([GAUGE, LABELLED.name])
    assert samples(families, GAUGE) == [(GAUGE, ("master", "a"), 1.5), (GAUGE, ("follower", "b"), 1.5)]


def test_counts_are_told_by_the_one_label() -> None:
    families = made(("master", "a"))
    shown = LABELLED.name + "_total"
    assert samples(families, LABELLED.name) == [(shown, ("master", "a", "a"), 1), (shown, ("master", "a", "b"), 2)]
    (family,) = [one for one in families if one.name == LABELLED.name]
    assert isinstance(family, CounterMetricFamily)
    assert set(family.samples[0].labels) == {*ROLE_LABELS, *LABELLED.labels}


def test_what_is_not_known_is_absent_and_not_0() -> None:
    families = Families()
    families.gauge(GAUGE, None)
    families.counter(LABELLED.name, None, **{LABELLED.labels[0]: "a"})
    families.counters(LABELLED.name, None)
    assert list(families) == []
    families.gauge(GAUGE, 0)
    assert [value for *_, value in samples(families, GAUGE)] == [0]


def test_a_histogram_counts_what_is_not_above_each_bound() -> None:
    families, measured = Families(), Histogram([1, 2.5])
    for value in (0.5, 1, 2, 99):
        measured.observe(value)
    families.labels = ("primary", "x")
    name = next(one.name for one in METRICS.values() if one.kind is Kind.HISTOGRAM)
    families.histogram(name, measured)
    found = samples(families, name)
    buckets = [(labels[-1], value) for shown, labels, value in found if shown.endswith("_bucket")]
    assert buckets == [("1.0", 2), ("2.5", 3), ("+Inf", 4)]
    assert [value for shown, _, value in found if shown.endswith("_sum")] == [102.5]


def test_nobody_else_defines_a_metric() -> None:
    families = Families()
    with pytest.raises(KeyError):
        families.gauge("spgrepl_other", 1)
    with pytest.raises(KeyError):
        families.counter(LABELLED.name, 1, other="a")

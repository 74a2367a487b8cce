"""Every metric that a scrape may have."""

from __future__ import annotations

import re

from spgrepl.watch.registry import METRICS, ROLE_LABELS, Definition, Kind


def test_names_are_those_that_a_scrape_shows() -> None:
    assert Definition(Kind.COUNTER, "a", "text").shown == "a_total"
    assert Definition(Kind.INFO, "a", "text").shown == "a_info"
    assert Definition(Kind.GAUGE, "a", "text").shown == "a"


def test_each_metric_is_well_formed() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name
        assert re.fullmatch(r"(?:spgrepl|spg)_[a-z_]+", name)
        assert not name.endswith(("_info",))
        assert metric.kind is not Kind.COUNTER or not name.endswith("_total")
        assert metric.text
        assert not set(metric.labels) & set(ROLE_LABELS)

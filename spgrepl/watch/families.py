"""The families of metrics that a scrape consists of: made anew for each, of plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from spgrepl.base.measures import Histogram

_F = TypeVar("_F", GaugeMetricFamily, CounterMetricFamily, HistogramMetricFamily)

ROLE_LABELS = ("role", "name")
"""The labels that every metric of a role has."""


class Families:
    """Gathers samples by family, so that several roles of a process share each.

    Attributes:
        labels: The values of `ROLE_LABELS` of the role whose samples are added.
    """

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self.labels: tuple[str, str] = ("", "")

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def _family(self, kind: type[_F], name: str, text: str, labels: tuple[str, ...]) -> _F:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = kind(name, text, labels=(*ROLE_LABELS, *labels))
        assert isinstance(family, kind)
        return family

    def gauge(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """Add a value that goes up and down; nothing where it is None: an absent sample is not 0."""
        if value is not None:
            family = self._family(GaugeMetricFamily, name, text, tuple(labels))
            family.add_metric((*self.labels, *labels.values()), value)

    def counter(self, name: str, text: str, value: float | None, **labels: str) -> None:
        """Add a count since the start; nothing where it is None. The name is without ``_total``."""
        if value is not None:
            family = self._family(CounterMetricFamily, name, text, tuple(labels))
            family.add_metric((*self.labels, *labels.values()), value)

    def counters(self, name: str, text: str, label: str, values: Mapping[str, int] | None) -> None:
        """Add counts by the values of a label."""
        for key, value in (values or {}).items():
            self.counter(name, text, value, **{label: key})

    def histogram(self, name: str, text: str, measured: Histogram) -> None:
        """Add what a histogram has counted."""
        counted = measured.cumulative()
        bounds = [*map(_bound, measured.bounds), "+Inf"]
        family = self._family(HistogramMetricFamily, name, text, ())
        family.add_metric(self.labels, list(zip(bounds, counted, strict=True)), measured.sum)


def _bound(bound: float) -> str:
    return repr(float(bound))

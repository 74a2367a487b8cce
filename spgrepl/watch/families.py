"""The families of metrics that a scrape consists of: made again for each, of plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from spgrepl.base.measures import Histogram
from spgrepl.watch.registry import METRICS, ROLE_LABELS

_F = TypeVar("_F", GaugeMetricFamily, CounterMetricFamily, HistogramMetricFamily)


class Families:
    """Gathers samples by family, so that several roles of a process share each.

    Names and labels are those of `spgrepl.watch.registry`; another one is a KeyError.

    Attributes:
        labels: The values of `ROLE_LABELS` of the role whose samples are added.
    """

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}
        self.labels: tuple[str, str] = ("", "")

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def _family(self, kind: type[_F], name: str) -> _F:
        family = self._families.get(name)
        if family is None:
            labels = (*ROLE_LABELS, *METRICS[name].labels)
            family = self._families[name] = kind(name, METRICS[name].text, labels=labels)
        assert isinstance(family, kind)
        return family

    def _values(self, name: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        return (*self.labels, *(labels[label] for label in METRICS[name].labels))

    def gauge(self, name: str, value: float | None, **labels: str) -> None:
        """Add a value that goes up and down; nothing where it is None: an absent sample is not 0."""
        if value is not None:
            self._family(GaugeMetricFamily, name).add_metric(self._values(name, labels), value)

    def counter(self, name: str, value: float | None, **labels: str) -> None:
        """Add a count since the start; nothing where it is None. The name is without ``_total``."""
        if value is not None:
            self._family(CounterMetricFamily, name).add_metric(self._values(name, labels), value)

    def counters(self, name: str, values: Mapping[str, int] | None) -> None:
        """Add counts by the values of the metric's one label."""
        (label,) = METRICS[name].labels
        for key, value in (values or {}).items():
            self.counter(name, value, **{label: key})

    def histogram(self, name: str, measured: Histogram) -> None:
        """Add what a histogram has counted."""
        counted = measured.cumulative()
        bounds = [*map(_bound, measured.bounds), "+Inf"]
        family = self._family(HistogramMetricFamily, name)
        family.add_metric(self.labels, list(zip(bounds, counted, strict=True)), measured.sum)


def _bound(bound: float) -> str:
    return repr(float(bound))

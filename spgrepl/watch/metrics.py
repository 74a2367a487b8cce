"""``/metrics``: what the status of a role says, as Prometheus reads it."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import apsw
import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.web.server import Request

import twisted
from spgrepl._version import __version__
from spgrepl.base.measures import Histogram
from spgrepl.compiled.core import IMPLEMENTATION
from spgrepl.watch.families import Families
from spgrepl.watch.http_headers import header_values
from spgrepl.watch.leaf import Leaf
from spgrepl.watch.peer_metrics import peer_text
from spgrepl.watch.registry import BUILD

STATES = {
    "master": ("starting", "serving", "stopped"),
    "follower": ("connecting", "bootstrapping", "streaming", "delayed", "silent", "waiting", "stopped"),
    "subscriber": ("connecting", "copying", "streaming", "delayed", "silent", "waiting", "stopped"),
}
"""The states that a role can be in; ``spgrepl_state`` is 1 for one of them."""

CONFLICTS = ("insert_exists", "update_exists", "update_missing", "delete_missing", "table_cleared")
"""The kinds of conflicts. All are shown from the start: an alert sees that a count grows, not that it comes."""


@attrs.frozen
class Watched:
    """A role that is watched.

    Attributes:
        status: Returns its status; called in the reactor's thread.
        measures: Returns what took how long.
    """

    status: Callable[[], Mapping[str, Any]]
    measures: Callable[[], Mapping[str, Histogram]] = dict


class StatusCollector(Collector):
    """Makes the metrics of some roles, at each scrape again: there is no second copy of any count.

    Args:
        watched: The roles.
        wall_clock: Tells the time of day in seconds since the epoch.
    """

    def __init__(self, watched: Sequence[Watched], wall_clock: Callable[[], float] = time.time) -> None:
        self._watched = watched
        self._wall_clock = wall_clock

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not ask for the metrics to know their names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        found = Families()
        for one in self._watched:
            status = one.status()
            found.labels = (str(status["role"]), str(status.get("name") or ""))
            self._of_the_role(found, status)
            _of_the_log(found, status)
            _of_bootstraps(found, status)
            _of_connections(found, status)
            for name, measured in one.measures().items():
                found.histogram(f"spgrepl_{name}", measured)
        made_of = (
            __version__,
            IMPLEMENTATION,
            platform.python_version(),
            twisted.__version__,
            apsw.sqlite_lib_version(),
        )
        build = InfoMetricFamily(BUILD.name, BUILD.text)
        build.add_metric((), dict(zip(BUILD.labels, made_of, strict=True)))
        return [build, *found]

    def _of_the_role(self, found: Families, status: Mapping[str, Any]) -> None:
        for state in STATES[status["role"]]:
            found.gauge("spgrepl_state", float(state == status["state"]), state=state)
        counts: dict[tuple[str, str], int] = {}
        for problem in status.get("problems") or ():
            key = (problem["kind"], problem["peer"] or "")
            counts[key] = counts.get(key, 0) + 1
        for (kind, peer), count in counts.items():
            found.gauge("spgrepl_problem", count, kind=kind, peer=peer)
        found.gauge("spgrepl_problems", sum(counts.values()))
        now = self._wall_clock()
        for field, name in (("heard_seconds", "last_contact"), ("applied_seconds", "last_applied")):
            age = status.get(field)
            found.gauge(f"spgrepl_{name}_timestamp_seconds", None if age is None else now - age)


def _of_the_log(found: Families, status: Mapping[str, Any]) -> None:
    lag, since = status["lag"], status.get("status_seconds")
    found.gauge("spgrepl_lag_bytes", lag["bytes"])
    found.gauge("spgrepl_lag_seconds", lag["seconds"])
    if since is not None:  # SPG's rules: both are absent until a status has come, and never below 0
        found.gauge("spg_replication_lag_bytes", lag["bytes"] or 0)
        found.gauge("spg_replication_lag_seconds", since)
    for kind, position in status["positions"].items():
        found.gauge("spgrepl_position_bytes", position, kind=kind)
    found.counter("spgrepl_statements", status.get("statements"))
    for table, kinds in (status.get("rows") or {}).items():
        for kind, count in kinds.items():
            found.counter("spgrepl_rows", count, table=table, kind=kind)
    skipped = {
        "ordered" if status["role"] == "follower" else "refused": status.get("skipped"),
        "in_snapshot": (status.get("transactions") or {}).get("in_snapshot"),
        "other_origin": status.get("other_origin"),
    }
    for reason, count in skipped.items():
        found.counter("spgrepl_records_skipped", count, reason=reason)
    conflicts = status.get("conflicts")
    found.counters("spgrepl_conflicts", None if conflicts is None else dict.fromkeys(CONFLICTS, 0) | conflicts)
    errors = status.get("errors")
    found.counters("spgrepl_errors", errors and errors["by_kind"])
    opened = status.get("open_transactions")
    found.gauge("spgrepl_open_transactions", opened["count"] if opened else 0)
    found.gauge("spgrepl_open_transaction_age_seconds", opened["seconds"] if opened else 0)


def _of_bootstraps(found: Families, status: Mapping[str, Any]) -> None:
    coming = status.get("bootstrap") or status.get("copy")
    if coming:
        found.gauge("spgrepl_snapshot_received_bytes", coming["received"])
        found.gauge("spgrepl_snapshot_length_bytes", coming["length"])
        placing = coming.get("placing")
        if placing:
            step = placing["step"]
            found.gauge("spgrepl_snapshot_step_ratio", placing["share"], step=step)
            found.gauge("spgrepl_snapshot_step_seconds", placing["seconds"], step=step)
            for unit in ("rows", "bytes"):
                found.gauge(f"spgrepl_snapshot_step_{unit}", placing[unit], step=step)
                found.gauge(f"spgrepl_snapshot_step_expected_{unit}", placing[f"{unit}_total"], step=step)
    for table, left_out in (status.get("cold_rows_left_out") or {}).items():
        found.gauge("spgrepl_cold_rows_left_out", left_out["rows"], table=table)
    came, served = status.get("segments"), status.get("segments_served")
    if came:
        found.gauge("spg_cold_segments_total", came["registered"])
        found.counter("spgrepl_segments_received", came["received"])
        found.counter("spgrepl_segment_received_bytes", came["bytes"])
        found.gauge("spgrepl_segments_damaged", len(came["damaged"]))
        current = came["current"]
        found.gauge("spgrepl_segment_chunks", current and current["of"])
        found.gauge("spgrepl_segment_chunks_received", current and current["chunks"])
    elif served:
        found.gauge("spg_cold_segments_total", served["count"])
    if served:
        found.gauge("spgrepl_segments_served", served["count"])
        found.gauge("spgrepl_segments_missing", len(served["missing"]))


def _of_connections(found: Families, status: Mapping[str, Any]) -> None:
    found.counter("spgrepl_reconnects", status.get("reconnects"))
    found.gauge("spgrepl_connections", status.get("connections"))
    found.counter("spgrepl_connections_accepted", status.get("accepted"))
    found.counters("spgrepl_refusals", status.get("refused"))
    found.counters("spgrepl_disconnects", status.get("dropped"))
    snapshots = status.get("snapshots")
    if snapshots:
        for result in ("made", "shared", "failed"):
            found.counter("spgrepl_snapshots", snapshots[result], result=result)
        found.gauge("spgrepl_snapshots_open", snapshots["open"])
        found.gauge("spgrepl_snapshots_in_the_making", snapshots["making"])
    sent = status.get("sent")
    if sent:
        found.counter("spgrepl_records_forwarded", sent["forwarded"])
        found.counters("spgrepl_log_passed_over_bytes", sent["passed_over"])


class MetricsResource(Leaf):
    """Answers a scrape, in the format that it asks for.

    prometheus_client has a resource for Twisted of its own. It imports the process's reactor, and it collects in
    a thread, where no status may be asked for.

    Args:
        watched: The roles.
    """

    def __init__(self, watched: Sequence[Watched]) -> None:
        super().__init__()
        self._watched = watched

    def body(self, request: Request) -> bytes:
        """See `Leaf`."""
        accepted = header_values(request.requestHeaders, "accept")
        encode, content_type = choose_encoder(", ".join(accepted))
        request.setHeader(b"content-type", content_type.encode())
        # Asked once, for all that is made of it. A registry of its own: nothing else of the process is in it.
        asked = [(one.status(), one.measures) for one in self._watched]
        registry = CollectorRegistry(auto_describe=False)
        registry.register(StatusCollector([Watched(partial(_same, status), of) for status, of in asked]))
        content: bytes = encode(registry)
        body, end, _ = content.rpartition(b"# EOF\n") if content.endswith(b"# EOF\n") else (content, b"", b"")
        return body + peer_text([status for status, _ in asked]).encode() + end


def _same(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return status

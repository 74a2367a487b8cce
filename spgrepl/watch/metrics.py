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
from spgrepl.watch.families import Families
from spgrepl.watch.leaf import Leaf
from spgrepl.watch.peer_metrics import peer_text

STATES = {
    "master": ("starting", "serving", "stopped"),
    "follower": ("connecting", "bootstrapping", "streaming", "delayed", "silent", "waiting", "stopped"),
    "subscriber": ("connecting", "copying", "streaming", "delayed", "silent", "waiting", "stopped"),
}
"""The states that a role can be in; ``spgrepl_state`` is 1 for one of them."""

_MEASURES = {
    "batch_bytes": "Bytes of the log in each batch that was applied",
    "apply_seconds": "Time that it took to apply a batch, its commit included",
    "fsync_seconds": "Time that it took to make the log, or a commit of a subscription, durable",
}


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
    """Makes the metrics of some roles, at each scrape anew: there is no second copy of any count.

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
                found.histogram(f"spgrepl_{name}", _MEASURES[name], measured)
        build = InfoMetricFamily("spgrepl_build", "What this program is made of")
        build.add_metric(
            (),
            {
                "version": __version__,
                "python": platform.python_version(),
                "twisted": twisted.__version__,
                "sqlite": apsw.sqlite_lib_version(),
            },
        )
        return [build, *found]

    def _of_the_role(self, found: Families, status: Mapping[str, Any]) -> None:
        for state in STATES[status["role"]]:
            found.gauge(
                "spgrepl_state",
                "1 for the state that the role is in",
                float(state == status["state"]),
                state=state,
            )
        counts: dict[tuple[str, str], int] = {}
        for problem in status.get("problems") or ():
            key = (problem["kind"], problem["peer"] or "")
            counts[key] = counts.get(key, 0) + 1
        for (kind, peer), count in counts.items():
            found.gauge("spgrepl_problem", "Problems that there are now", count, kind=kind, peer=peer)
        found.gauge("spgrepl_problems", "How many problems there are now", sum(counts.values()))
        now = self._wall_clock()
        for field, name, text in (
            ("heard_seconds", "last_contact", "When the last byte of the master came"),
            ("applied_seconds", "last_applied", "When a change was applied last"),
        ):
            age = status.get(field)
            found.gauge(f"spgrepl_{name}_timestamp_seconds", text, None if age is None else now - age)


def _of_the_log(found: Families, status: Mapping[str, Any]) -> None:
    lag, since = status["lag"], status.get("status_seconds")
    found.gauge("spgrepl_lag_bytes", "Bytes of the master's log that are not applied", lag["bytes"])
    found.gauge("spgrepl_lag_seconds", "Age of the newest applied change while others wait", lag["seconds"])
    if since is not None:  # SPG's rules: both are absent until a status has come, and never below 0
        found.gauge("spg_replication_lag_bytes", "As SPG has it: bytes behind the master", lag["bytes"] or 0)
        found.gauge("spg_replication_lag_seconds", "As SPG has it: seconds since the master's last status", since)
    for kind, position in status["positions"].items():
        found.gauge("spgrepl_position_bytes", "Positions in the master's log", position, kind=kind)
    found.counter("spgrepl_statements", "Statements that were applied", status.get("statements"))
    for table, kinds in (status.get("rows") or {}).items():
        for kind, count in kinds.items():
            found.counter("spgrepl_rows", "Rows that were changed", count, table=table, kind=kind)
    skipped = {"refused": status.get("skipped"), "other_origin": status.get("other_origin")}
    for reason, count in skipped.items():
        found.counter("spgrepl_records_skipped", "Records that were left out", count, reason=reason)
    found.counters(
        "spgrepl_conflicts", "Rows that did not find what they must find", "kind", status.get("conflicts")
    )
    errors = status.get("errors")
    found.counters("spgrepl_errors", "Errors", "kind", errors and errors["by_kind"])
    opened = status.get("open_transactions")
    text = "Transactions that have begun and not ended"
    found.gauge("spgrepl_open_transactions", text, opened["count"] if opened else 0)
    found.gauge(
        "spgrepl_open_transaction_age_seconds", "How old the oldest of them is", opened["seconds"] if opened else 0
    )


def _of_bootstraps(found: Families, status: Mapping[str, Any]) -> None:
    coming = status.get("bootstrap") or status.get("copy")
    if coming:
        found.gauge("spgrepl_snapshot_received_bytes", "Bytes of the snapshot that comes", coming["received"])
        found.gauge("spgrepl_snapshot_length_bytes", "Its length", coming["length"])
    came, served = status.get("segments"), status.get("segments_served")
    if came:
        found.gauge("spg_cold_segments_total", "As SPG has it: cold segments that are there", came["registered"])
        found.counter("spgrepl_segments_received", "Cold segments that came", came["received"])
        found.counter("spgrepl_segment_received_bytes", "Bytes of them", came["bytes"])
        found.gauge("spgrepl_segments_damaged", "Cold segments that came damaged", len(came["damaged"]))
        current = came["current"]
        found.gauge("spgrepl_segment_chunks", "Chunks that the coming segment has", current and current["of"])
        found.gauge("spgrepl_segment_chunks_received", "Chunks of it that came", current and current["chunks"])
    elif served:
        found.gauge("spg_cold_segments_total", "As SPG has it: cold segments that are there", served["count"])
    if served:
        found.gauge("spgrepl_segments_served", "Cold segments that followers get", served["count"])
        found.gauge("spgrepl_segments_missing", "Registered cold segments without a file", len(served["missing"]))


def _of_connections(found: Families, status: Mapping[str, Any]) -> None:
    found.counter("spgrepl_reconnects", "Streams that began again", status.get("reconnects"))
    found.gauge("spgrepl_connections", "Connections of peers", status.get("connections"))
    found.counter("spgrepl_connections_accepted", "Connections that were accepted", status.get("accepted"))
    found.counters("spgrepl_refusals", "Connections that were refused", "reason", status.get("refused"))
    found.counters("spgrepl_disconnects", "Connections that have ended", "reason", status.get("dropped"))
    snapshots = status.get("snapshots")
    if snapshots:
        for result in ("made", "shared", "failed"):
            found.counter("spgrepl_snapshots", "Snapshots for peers", snapshots[result], result=result)
        found.gauge("spgrepl_snapshots_open", "Snapshots that are sent", snapshots["open"])
        found.gauge("spgrepl_snapshots_in_the_making", "Snapshots that are made", snapshots["making"])
    sent = status.get("sent")
    if sent:
        found.counter("spgrepl_records_forwarded", "Records that were sent to subscribers", sent["forwarded"])
        text = "Bytes of the log that were not sent to subscribers"
        found.counters("spgrepl_log_passed_over_bytes", text, "reason", sent["passed_over"])


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
        accepted = request.requestHeaders.getRawHeaders("accept", [""])
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

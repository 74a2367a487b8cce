"""Every metric that a scrape may have: its kind, what it means, its labels beside those of the role.

Nothing else defines one. The page of the reference is made from this.
"""

from __future__ import annotations

import enum

import attrs

ROLE_LABELS = ("role", "name")
"""The labels that every metric of a role has."""


class Kind(enum.Enum):
    """What a metric is for Prometheus."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


@attrs.frozen
class Definition:
    """A metric.

    Attributes:
        kind: What it is.
        name: Its name, as the libraries of Prometheus want it: without the ``_total`` or ``_info`` at its end.
        text: What it means, as a scrape says it.
        labels: Its labels beside `ROLE_LABELS`.
    """

    kind: Kind
    name: str
    text: str
    labels: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        """Its name in a scrape; of a histogram without the endings of its series."""
        return self.name + {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(self.kind, "")


def _gauge(name: str, text: str, *labels: str) -> Definition:
    return Definition(Kind.GAUGE, name, text, labels)


def _counter(name: str, text: str, *labels: str) -> Definition:
    return Definition(Kind.COUNTER, name, text, labels)


def _histogram(name: str, text: str) -> Definition:
    return Definition(Kind.HISTOGRAM, name, text)


BUILD = Definition(
    Kind.INFO,
    "spgrepl_build",
    "Versions of spgrepl, Python, Twisted and SQLite, and whether the compiled core runs",
    ("version", "core", "python", "twisted", "sqlite"),
)
"""What the program is made of; it belongs to no role."""

_DEFINITIONS = (
    BUILD,
    _gauge("spgrepl_state", "1 for the state that the role is in, 0 for the others", "state"),
    _gauge("spgrepl_problem", "Problems that there are now", "kind", "peer"),
    _gauge("spgrepl_problems", "How many problems there are now"),
    _gauge("spgrepl_lag_bytes", "Bytes of the master's log that are not applied"),
    _gauge(
        "spgrepl_lag_seconds",
        "Age of the newest applied change while others wait, 0 while nothing waits, absent while unknown",
    ),
    _gauge("spgrepl_last_contact_timestamp_seconds", "When the last byte of the master came"),
    _gauge("spgrepl_last_applied_timestamp_seconds", "When a change was applied last"),
    _gauge("spgrepl_position_bytes", "Positions in the master's log: source, received, durable, applied", "kind"),
    _counter("spgrepl_statements", "Statements that were applied"),
    _counter("spgrepl_rows", "Rows that were changed: inserted, updated, deleted", "table", "kind"),
    _counter(
        "spgrepl_records_skipped",
        "Records that were left out: refused and put aside, ordered to be, held by the snapshot already, or of an "
        "origin that is not wanted",
        "reason",
    ),
    _counter("spgrepl_conflicts", "Rows that did not find what they must find", "kind"),
    _counter("spgrepl_errors", "Errors, by the word that the status has for each", "kind"),
    _gauge("spgrepl_open_transactions", "Transactions that have begun and not ended"),
    _gauge("spgrepl_open_transaction_age_seconds", "For how long the oldest of them has been open"),
    _histogram("spgrepl_batch_bytes", "Bytes of the log in each batch that was applied"),
    _histogram("spgrepl_apply_seconds", "Time that it took to apply a batch, its commit included"),
    _histogram(
        "spgrepl_fsync_seconds", "Time that it took to make the log, or a commit of a subscription, durable"
    ),
    _gauge("spgrepl_snapshot_received_bytes", "Bytes that are here of a snapshot that comes"),
    _gauge("spgrepl_snapshot_length_bytes", "The length of a snapshot that comes"),
    _gauge("spgrepl_snapshot_step_ratio", "How much is done, 0 to 1, of what is done with a snapshot now", "step"),
    _gauge("spgrepl_snapshot_step_seconds", "For how long this is done", "step"),
    _gauge("spgrepl_snapshot_step_rows", "Rows of the snapshot that are done", "step"),
    _gauge("spgrepl_snapshot_step_expected_rows", "Rows of the tables that are copied", "step"),
    _gauge("spgrepl_snapshot_step_bytes", "Bytes that are done", "step"),
    _gauge("spgrepl_snapshot_step_expected_bytes", "Bytes that there are to do, about", "step"),
    _counter("spgrepl_segments_received", "Cold segments that came"),
    _counter("spgrepl_segment_received_bytes", "Bytes of the cold segments that came"),
    _gauge("spgrepl_segments_damaged", "Cold segments that came damaged"),
    _gauge("spgrepl_segment_chunks", "Chunks that the cold segment has that comes"),
    _gauge("spgrepl_segment_chunks_received", "Chunks that are here of the cold segment that comes"),
    _gauge("spgrepl_segments_served", "Cold segments that followers get"),
    _gauge("spgrepl_segments_missing", "Registered cold segments without a file"),
    _gauge(
        "spgrepl_cold_rows_left_out",
        "Rows of an SPG server's snapshot that the copy does without: their cold segments never came",
        "table",
    ),
    _counter("spgrepl_reconnects", "Streams that began again"),
    _gauge("spgrepl_connections", "Connections of peers"),
    _counter("spgrepl_connections_accepted", "Connections that were accepted"),
    _counter("spgrepl_refusals", "Connections that were refused", "reason"),
    _counter("spgrepl_disconnects", "Connections that have ended", "reason"),
    _counter("spgrepl_snapshots", "Snapshots for peers: made, shared, failed", "result"),
    _gauge("spgrepl_snapshots_open", "Snapshots that are sent"),
    _gauge("spgrepl_snapshots_in_the_making", "Snapshots that are made"),
    _counter("spgrepl_records_forwarded", "Records that were sent to subscribers"),
    _counter("spgrepl_log_passed_over_bytes", "Bytes of the log that were not sent to subscribers", "reason"),
    _gauge(
        "spgrepl_peer_connections",
        "Connections of a peer that is configured, or of another address; 0 while a configured one is away",
        "peer",
    ),
    _gauge("spgrepl_peer_waiting_bytes", "Bytes of the log that wait for a peer", "peer"),
    _gauge(
        "spgrepl_peer_stalled_seconds",
        "How long a peer has taken nothing of what waits; absent while it takes it",
        "peer",
    ),
    _gauge("spgrepl_peer_snapshots", "Snapshots that are sent to a peer; absent while none is", "peer"),
    _gauge("spg_replication_lag_bytes", "As SPG has it: bytes behind the master; absent until a STATUS has come"),
    _gauge(
        "spg_replication_lag_seconds",
        "As SPG has it: seconds since the master's last STATUS; absent until one has come",
    ),
    _gauge("spg_cold_segments_total", "As SPG has it: cold segments that are there"),
)

METRICS: dict[str, Definition] = {one.name: one for one in _DEFINITIONS}
"""Every metric, by its name."""

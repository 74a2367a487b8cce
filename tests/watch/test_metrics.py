"""``/metrics``: made of the status, read back by prometheus_client's own parser."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from spgrepl.base.measures import BYTES, SECONDS, Histogram
from spgrepl.server.status.resource import build_site
from spgrepl.watch.metrics import StatusCollector, Watched
from spgrepl.watch.site import SiteWatch
from tests.watch.statuses import PLACING, follower, master, peer

NOW = 1_700_000_000.0


def measures() -> Mapping[str, Histogram]:
    size, seconds = Histogram(BYTES), Histogram(SECONDS)
    size.observe(300)
    seconds.observe(0.002)
    return {"batch_bytes": size, "apply_seconds": seconds, "fsync_seconds": Histogram(SECONDS)}


def ask(*statuses: dict[str, Any], path: str = "/metrics", accept: bytes = b"", method: str = "GET") -> bytes:
    watched = [Watched(lambda status=status: status, measures) for status in statuses]  # type: ignore[misc]
    site = build_site(Clock(), dict, lambda *_: Deferred(), watch=SiteWatch(Clock(), watched, ready_lag=5.0))
    protocol, transport = site.buildProtocol(None), StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(f"{method} {path} HTTP/1.0\r\n".encode() + b"Accept: %s\r\n\r\n" % accept)
    return transport.value()


def body(answer: bytes) -> str:
    return answer.split(b"\r\n\r\n", 1)[1].decode()


def samples(*statuses: dict[str, Any]) -> dict[str, float]:
    """Samples by name and labels, those of the role left out."""
    found = {}
    for family in text_string_to_metric_families(body(ask(*statuses))):
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key not in ("role", "name")}
            found[sample.name + ("" if not labels else str(sorted(labels.values())))] = sample.value
    return found


def test_a_follower() -> None:
    found = samples(follower())
    assert found["spgrepl_state['streaming']"] == 1
    assert found["spgrepl_state['silent']"] == 0
    assert (found["spgrepl_lag_bytes"], found["spgrepl_lag_seconds"]) == (20, 0.25)
    assert found["spgrepl_position_bytes['applied']"] == 100
    assert found["spgrepl_position_bytes['source']"] == 120
    assert found["spgrepl_rows_total['insert', 'notes']"] == 5
    assert found["spgrepl_statements_total"] == 12
    assert found["spgrepl_records_skipped_total['ordered']"] == 2
    assert found["spgrepl_records_skipped_total['in_snapshot']"] == 6
    assert found["spgrepl_errors_total['peer_closed']"] == 2
    assert found["spgrepl_reconnects_total"] == 1
    assert found["spgrepl_problems"] == 0
    assert found["spgrepl_open_transactions"] == 0
    assert abs(found["spgrepl_last_contact_timestamp_seconds"] - (time.time() - 0.5)) < 60
    assert found["spgrepl_batch_bytes_sum"] == 300
    assert found["spgrepl_batch_bytes_bucket['1024.0']"] == 1
    assert found["spgrepl_apply_seconds_bucket['0.001']"] == 0
    assert found["spgrepl_fsync_seconds_count"] == 0
    assert not any(name.startswith("spgrepl_problem[") for name in found)


def test_the_aliases_by_spg_s_rules() -> None:
    """Absent until a STATUS has come, never below 0; the time is that since the last STATUS."""
    found = samples(follower())
    assert found["spg_replication_lag_bytes"] == 20
    assert found["spg_replication_lag_seconds"] == 0.75
    assert found["spg_cold_segments_total"] == 3
    before = samples(follower(status_seconds=None, lag={"bytes": None, "seconds": None}))
    assert not any(name.startswith("spg_replication") for name in before)
    assert samples(master())["spg_cold_segments_total"] == 4


def test_what_is_unknown_is_absent() -> None:
    found = samples(follower(lag={"bytes": None, "seconds": None}, heard_seconds=None))
    assert "spgrepl_lag_seconds" not in found
    assert "spgrepl_last_contact_timestamp_seconds" not in found


def test_times_are_told_by_the_clock() -> None:
    collector = StatusCollector([Watched(follower)], lambda: NOW)
    found = {metric.name: metric.samples[0].value for metric in collector.collect()}
    assert found["spgrepl_last_contact_timestamp_seconds"] == NOW - 0.5
    assert found["spgrepl_last_applied_timestamp_seconds"] == NOW - 2.0


def test_a_master_and_its_peers() -> None:
    found = samples(master())
    assert found["spgrepl_connections"] == 1
    assert found["spgrepl_connections_accepted_total"] == 4
    assert found["spgrepl_refusals_total['bad_hello']"] == 2
    assert found["spgrepl_disconnects_total['peer_closed']"] == 1
    assert found["spgrepl_snapshots_total['made']"] == 3
    assert found["spgrepl_records_forwarded_total"] == 9
    assert found["spgrepl_log_passed_over_bytes_total['ddl']"] == 33
    assert found["spgrepl_peer_connections['10.1.2.3']"] == 1
    assert found["spgrepl_peer_waiting_bytes['10.1.2.3']"] == 20
    assert "spgrepl_lag_bytes" not in found


def test_names_are_escaped() -> None:
    found = samples(master(peers=[peer(name='a"b\\c\nd')]))
    assert found["""spgrepl_peer_connections['a"b\\\\c\\nd']"""] == 1


def test_connections_of_one_address_are_one_peer() -> None:
    peers = [peer(), peer(address="10.1.2.3:5", position=90, lag_bytes=30, stalled_seconds=2.0)]
    found = samples(master(peers=peers))
    assert found["spgrepl_peer_connections['10.1.2.3']"] == 2
    assert found["spgrepl_peer_waiting_bytes['10.1.2.3']"] == 30
    assert found["spgrepl_peer_stalled_seconds['10.1.2.3']"] == 2.0


def test_a_configured_peer_that_is_away_stays_listed() -> None:
    away = peer(name="berlin", state="away", position=None, lag_bytes=None, away_seconds=1.0)
    found = samples(master(peers=[peer(name="paris"), away]))
    assert found["spgrepl_peer_connections['berlin']"] == 0
    assert found["spgrepl_peer_connections['paris']"] == 1
    assert found["spgrepl_problem['berlin', 'peer_away']"] == 1


def test_a_problem() -> None:
    found = samples(follower(error="held", error_kind="delayed"))
    assert found["spgrepl_problem['10.0.0.1:7433', 'delayed']"] == 1
    assert found["spgrepl_problems"] == 1


def test_conflicts_are_counted_from_zero_on() -> None:
    """What appears with the value 1 is no increase for Prometheus: the first conflict would be no alert."""
    found = body(ask(follower(role="subscriber", name="s", conflicts={"update_missing": 2})))
    shown = {line for line in found.splitlines() if line.startswith("spgrepl_conflicts_total{")}
    assert len(shown) == 5
    assert 'spgrepl_conflicts_total{kind="insert_exists",name="s",role="subscriber"} 0.0' in shown
    assert 'spgrepl_conflicts_total{kind="update_missing",name="s",role="subscriber"} 2.0' in shown
    assert "spgrepl_conflicts_total" not in body(ask(follower()))  # of a follower there are none


def test_rows_that_a_copy_does_without() -> None:
    found = samples(follower(cold_rows_left_out={"t": {"rows": 2, "first_key": -7}}))
    assert found["spgrepl_cold_rows_left_out['t']"] == 2


def test_a_snapshot_that_comes() -> None:
    found = samples(follower(bootstrap={"received": 40, "length": 100}))
    assert found["spgrepl_snapshot_received_bytes"] == 40
    assert found["spgrepl_snapshot_length_bytes"] == 100


def test_a_snapshot_that_is_put_in_place() -> None:
    whole = {"received": 100, "length": 100}
    found = samples(follower(bootstrap=whole | {"placing": PLACING}))
    assert {one: value for one, value in found.items() if "_step_" in one} == {
        "spgrepl_snapshot_step_ratio['copy']": 0.4,
        "spgrepl_snapshot_step_seconds['copy']": 2,
        "spgrepl_snapshot_step_rows['copy']": 4000,
        "spgrepl_snapshot_step_expected_rows['copy']": 10_000,
        "spgrepl_snapshot_step_bytes['copy']": 400_000,
        "spgrepl_snapshot_step_expected_bytes['copy']": 1_000_000,
    }
    unknown = dict.fromkeys(PLACING) | {"step": "commit", "seconds": 1.0}
    found = samples(follower(bootstrap=whole | {"placing": unknown}))
    assert {one for one in found if "_step_" in one} == {"spgrepl_snapshot_step_seconds['commit']"}
    found = samples(follower(bootstrap=whole | {"placing": None}))
    assert not {one for one in found if "_step_" in one}


def test_segments_that_come() -> None:
    current = {"id": 1, "chunks": 2, "of": 8, "bytes": 5, "rate": 1}
    came = {"registered": 3, "received": 2, "bytes": 2048, "damaged": [], "current": current}
    found = samples(follower(segments=came))
    assert (found["spgrepl_segment_chunks_received"], found["spgrepl_segment_chunks"]) == (2, 8)


def test_several_roles_of_a_process_share_each_family() -> None:
    text = body(ask(follower(name="a"), follower(name="b"), master()))
    assert text.count("# TYPE spgrepl_state gauge") == 1
    assert 'spgrepl_lag_bytes{name="b",role="follower"} 20.0' in text


def test_openmetrics_where_it_is_asked_for() -> None:
    answer = ask(follower(), master(), accept=b"application/openmetrics-text; version=1.0.0")
    assert b"application/openmetrics-text" in answer.lower()
    names = {family.name for family in parse_openmetrics(body(answer))}
    assert {"spgrepl_rows", "spgrepl_lag_seconds"} <= names


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_against_the_metrics() -> None:
    """But for the suffix of a gauge that has SPG's name."""
    text = body(ask(follower(bootstrap={"received": 4, "length": 10, "placing": PLACING}), master()))
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "spg_cold_segments_total" not in line]
    assert said == []


def test_what_is_accepted_need_not_be_unicode() -> None:
    assert ask(follower(), accept=b"\xff").startswith(b"HTTP/1.0 200")


def test_head_has_no_body() -> None:
    assert ask(follower(), method="HEAD").endswith(b"\r\n\r\n")
    assert ask(follower(), method="POST").startswith(b"HTTP/1.0 405")


def test_the_reactor_turns() -> None:
    assert ask(follower(), path="/healthz").startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (follower(), 200, "ready"),
        (master(), 200, "ready"),
        (master(warning="rows of another program"), 200, "ready\nrows of another program"),
        (follower(lag={"bytes": 20, "seconds": 5.1}), 503, "5.1 s old, more than 5 s"),
        (follower(lag={"bytes": 20, "seconds": 4.9}, state="delayed"), 200, "ready"),
        (follower(lag={"bytes": None, "seconds": None}, state="waiting", error="gone"), 503, "waiting: gone"),
        (follower(state="stopped"), 503, "stopped"),
        (master(state="starting"), 503, "the master is starting"),
        (master(error="no port", error_kind="listening"), 503, "no port"),
    ],
)
def test_whether_a_role_is_ready(status: dict[str, Any], code: int, said: str) -> None:
    answer = ask(status, path="/readyz")
    assert answer.startswith(f"HTTP/1.0 {code}".encode())
    assert said in body(answer)


def test_a_process_is_ready_when_all_its_roles_are() -> None:
    assert ask(follower(), master(), path="/readyz").startswith(b"HTTP/1.0 200")
    assert ask(follower(), master(state="stopped"), path="/readyz").startswith(b"HTTP/1.0 503")

"""The metrics of peers: as the library of Prometheus reads them, there is one series for each peer."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from spgrepl.watch.peer_metrics import peer_text
from tests.watch.statuses import peer

names = st.one_of(st.none(), st.text(alphabet='ab"\\\n,}é ', max_size=4))


def read(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["peer"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of_master(*peers: dict[str, Any], name: str = "m") -> str:
    return peer_text([{"role": "master", "name": name, "peers": peers}])


@settings(max_examples=40)
@given(st.lists(st.tuples(names, st.integers(0, 9)), max_size=6), st.text(alphabet='a"\\\n', max_size=4))
def test_any_name_is_read_back(found: list[tuple[str | None, int]], role_name: str) -> None:
    peers = [peer(name=name, address=f"[::1]:{port}", lag_bytes=port) for name, port in found]
    text = of_master(*peers, name=role_name)
    expected: dict[str, list[int]] = {}
    for name, port in found:
        expected.setdefault(name or "[::1]", []).append(port)
    series = read(text)
    assert {name: len(ports) for name, ports in expected.items()} == {
        peer: value for (metric, peer), value in series.items() if metric == "spgrepl_peer_connections"
    }
    assert {name: max(ports) for name, ports in expected.items()} == {
        peer: value for (metric, peer), value in series.items() if metric == "spgrepl_peer_waiting_bytes"
    }
    labels = [sample.labels for family in text_string_to_metric_families(text) for sample in family.samples]
    assert all(one["name"] == role_name for one in labels)


def test_a_configured_peer_that_is_away_has_no_connection() -> None:
    text = of_master(peer(name="a", state="away"), peer(name="b"))
    assert read(text)["spgrepl_peer_connections", "a"] == 0
    assert ("spgrepl_peer_waiting_bytes", "a") not in read(text)
    assert read(text)["spgrepl_peer_connections", "b"] == 1


def test_what_is_not_known_is_absent() -> None:
    text = of_master(peer(name="a", lag_bytes=None, stalled_seconds=0.0, state="snapshot"))
    found = {metric: value for (metric, _), value in read(text).items()}
    assert found == {"spgrepl_peer_connections": 1, "spgrepl_peer_snapshots": 1}


def test_nothing_is_said_of_nobody() -> None:
    assert peer_text([]) == ""
    assert peer_text([{"role": "subscriber", "name": None}]) == ""


def test_each_family_is_described_once() -> None:
    text = peer_text(
        [{"role": role, "name": "x", "peers": [peer(), peer(name="y")]} for role in ("master", "follower")]
    )
    assert text.count("# HELP spgrepl_peer_connections ") == 1
    assert text.count("# TYPE spgrepl_peer_connections gauge\n") == 1

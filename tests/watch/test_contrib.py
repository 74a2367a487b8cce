"""What contrib/ has for monitors: promtool checks the rules, and every metric that they name is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from spgrepl.watch.registry import METRICS, Kind
from tests.watch.statuses import PLACING, follower, master, peer
from tests.watch.test_metrics import ask, body

CONTRIB = Path(__file__).parent.parent.parent / "contrib"
RULES = CONTRIB / "prometheus" / "spgrepl-rules.yml"
DASHBOARD = CONTRIB / "grafana" / "spgrepl.json"
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "monitoring.md"
OF_PROMETHEUS = {"up"}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def exposed() -> set[str]:
    """The names of all samples that there can be."""
    current = {"id": 1, "chunks": 2, "of": 8, "bytes": 5, "rate": 1}
    came = {"registered": 3, "received": 2, "bytes": 2048, "damaged": [], "current": current}
    text = body(
        ask(
            follower(
                bootstrap={"received": 4, "length": 10, "placing": PLACING},
                segments=came,
                skipped=1,
                conflicts={"insert_exists": 1},
                cold_rows_left_out={"t": {"rows": 1, "first_key": 1}},
                error="x",
                error_kind="y",
            ),
            master(peers=[peer(state="snapshot", stalled_seconds=4.0)]),
        )
    )
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "spgrepl-rules.yml"),
        ("test", "rules", "spgrepl-rules-test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
)
def test_promtool(words: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *words], cwd=RULES.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_name_metrics_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += re.findall(r"^ +expr: (.*)$", RULES.read_text(), re.MULTILINE)
    assert len(queries) > 20
    named = {name for query in queries for name in re.findall(r"\bspg\w+", re.sub(r'"[^"]*"', "", query))}
    assert len(named) > 15
    assert named - OF_PROMETHEUS <= exposed()


def test_every_metric_of_the_registry_is_there_and_no_other() -> None:
    endings = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
    registered = {one.shown + ending for one in METRICS.values() for ending in endings.get(one.kind, ("",))}
    assert exposed() == registered


def test_the_metrics_that_a_document_names_are_there() -> None:
    told = set(re.findall(r"`(spg\w+_\w+)(?:\{[\w,]*\})?`", DOCUMENT.read_text()))
    assert len(told) > 10
    assert told - {one.shown for one in METRICS.values()} == set()

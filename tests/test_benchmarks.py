"""The benchmarks' own arithmetic, on inputs small enough for a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from benchmarks import __main__ as command
from benchmarks import bare, fanout, owner, subscribers, writes
from benchmarks.figures import Figure, machine, table
from benchmarks.logs import append, create_table, insert, inserts
from benchmarks.servers import BenchmarkFailed
from spgrepl.log.format.parser import cut_records
from spgrepl.wire.frames import HEADER_SIZE


def figure(value: float, yard: float, target: str) -> Figure:
    return Figure("a figure", value, "ms", "its yardstick", yard, value / yard, target)


@pytest.mark.parametrize(
    ("value", "yard", "target", "reached"),
    [
        (8, 10, ">= 0.8", True),
        (7.9, 10, ">= 0.8", False),
        (10, 10, "<= 1", True),
        (10.1, 10, "<= 1", False),
        (2.9, 1, "< 3 ms", True),
        (3, 100, "< 3 ms", False),
        (5, 1, "> 4 ms", True),
        (5, 1, "value <= 5", True),
        (5.1, 10, "value <= 5", False),
    ],
)
def test_targets_with_a_unit_are_about_the_value_others_about_the_ratio(
    value: float, yard: float, target: str, reached: bool
) -> None:
    assert figure(value, yard, target).reached is reached


def test_a_target_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'fast' is not a target"):
        figure(1, 1, "fast")


def test_the_table_says_what_was_missed() -> None:
    shown = table([figure(8, 10, ">= 0.8"), figure(1234567, 2469134, ">= 0.8")]).splitlines()
    assert " ".join(shown[1].split()) == "a figure 8 ms 10 its yardstick 0.800 >= 0.8 reached"
    assert shown[2].split()[2] == "1,234,567"
    assert shown[2].endswith("MISSED")


def test_the_machine_is_described() -> None:
    assert {"cpu", "cores", "kernel", "python", "sqlite"} <= machine().keys()


def test_the_logs_are_logs() -> None:
    batch, error = cut_records(create_table() + inserts(50), 0)
    assert error is None
    assert len(batch) == 52
    assert inserts(50).endswith(insert(50))


def test_the_yardsticks_read_every_record(tmp_path: Path) -> None:
    log = tmp_path / "a.wal"
    log.write_bytes(create_table())
    append(log, inserts(3000))
    assert len(list(bare.statements(log.read_bytes(), 0))) == 3002
    (seconds,) = bare.run("parse", log)
    assert seconds > 0
    (seconds,) = bare.run("sqlite", log, tmp_path)
    assert seconds > 0
    damaged = bytearray(log.read_bytes())
    damaged[-1] ^= 1
    with pytest.raises(ValueError, match="wrong checksum"):
        list(bare.statements(bytes(damaged), 0))


def test_disk_pairs_are_measured(tmp_path: Path) -> None:
    assert len(bare.run("disk", tmp_path, 3)) == 3


def test_owners_of_plain_inserts_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "RECORDS", 2000)
    monkeypatch.setattr(owner, "ROUNDS", 1)
    found = owner.measure()
    assert {(one.unit, len(one.samples)) for one in found} == {("ns", 1)}


def test_a_filter_that_takes_nothing_passes_over_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscribers, "RECORDS", 10_000)
    log = tmp_path / "a.wal"
    log.write_bytes(create_table() + inserts(10_000))
    assert subscribers.sift(log) > 0
    append(log, insert(1))
    with pytest.raises(BenchmarkFailed, match="10003 records were looked at"):
        subscribers.sift(log)


def test_the_same_log_goes_to_subscribers_and_to_followers(tmp_path: Path) -> None:
    records = inserts(100)
    with subscribers.publishing(tmp_path) as (master, port, log):
        start = log.stat().st_size
        append(log, records)
        framed = len(records) + 100 * HEADER_SIZE
        assert subscribers.read(port, start, framed, 3, "sub") > 0
        assert subscribers.read(port, start, len(records), 3, "v2") > 0
        assert master.cpu_seconds() > 0


def test_the_command_prints_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached, missed = figure(8, 10, ">= 0.8"), figure(7, 10, ">= 0.8")
    monkeypatch.setitem(command.BENCHMARKS, "latency", lambda: [reached])
    monkeypatch.setitem(command.BENCHMARKS, "memory", lambda: [missed])
    path = tmp_path / "figures.json"
    monkeypatch.chdir(tmp_path)
    assert command.main(["latency"]) == 0
    assert len(json.loads((tmp_path / "benchmarks.json").read_text())["figures"]) == 1
    assert command.main(["latency", "memory", "--json", str(path)]) == 1
    written = json.loads(path.read_text())
    assert written["machine"]["cores"]
    assert [(found["value"], found["reached"]) for found in written["figures"]] == [(8, True), (7, False)]
    assert "1 targets reached, 1 missed" in capsys.readouterr().out


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["speed"]) == 64
    assert "no 'speed'; there are catchup-sqlite" in capsys.readouterr().err


def test_figures_of_the_fanout_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "name": "n",
        "value": 1.0,
        "unit": "MiB/s",
        "yardstick": "y",
        "yardstick_value": 2.0,
        "ratio": 0.5,
        "target": ">= 0.4",
    }
    monkeypatch.setattr(fanout, "measure", lambda: [given])
    (found,) = command.BENCHMARKS["fanout"]()
    assert found.reached


@pytest.mark.parametrize("measure", [writes.single_round, writes.script_round, writes.update_round])
def test_writes_and_their_yardsticks_do_the_same(
    measure: Callable[[Path, int], tuple[float, float]], tmp_path: Path
) -> None:
    """Both databases hold the same rows afterwards."""
    assert min(measure(tmp_path, 200)) > 0
    rows = []
    for name in ("primary.db", "bare.db"):
        with closing(apsw.Connection(str(tmp_path / name))) as connection:
            rows.append(connection.execute("SELECT * FROM t").fetchall())
    assert rows[0] == rows[1]
    assert len(rows[0]) == 200

"""``spgrepl drain``: no more writes, and copies that have everything; more in `test_failover`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spgrepl.base.results import Position
from spgrepl.cli import drain, main
from tests.primary.copying import opened


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        return writer.paths.database


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Which copies were waited for, and for what; the one called `late` does not come."""
    found: list[tuple[str, str]] = []

    def wait(copy: Any, query: str, _deadline: float | None) -> int | None:
        found.append((str(copy), query))
        return None if "late" in str(copy) else 1

    monkeypatch.setattr(drain, "wait_at", wait)
    return found


def test_every_copy_is_waited_for_and_the_position_printed(
    database: Path, asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drain", "--db", str(database), "--copy", "one:1", "--copy", "two:2"]) == 0
    position = Position.parse(capsys.readouterr().out.strip())
    assert asked == [("http://one:1", f"token={position}"), ("http://two:2", f"token={position}")]
    assert position.history is not None


def test_a_copy_that_does_not_come_in_time_is_named_and_it_stays_drained(
    database: Path, asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drain", "--db", str(database), "--copy", "late:1", "--copy", "two:2", "--timeout", "1"]) == 75
    out, err = capsys.readouterr()
    assert (out, len(asked)) == ("", 1)
    assert "http://late:1 does not have position" in err
    assert main(["exec", "--db", str(database), "INSERT INTO t VALUES (1)"]) == 77


def test_to_drain_twice_is_to_drain(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = set()
    for _ in range(2):
        assert main(["drain", "--db", str(database)]) == 0
        tokens.add(capsys.readouterr().out)
    assert len(tokens) == 1


def test_without_its_log_nothing_is_drained(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drain", "--db", str(database), "--wal", str(database.with_name("other.wal"))]) == 78
    assert "other.wal is missing" in capsys.readouterr().err
    assert not database.with_name("other.wal").exists()
    assert main(["exec", "--db", str(database), "INSERT INTO t VALUES (1)"]) == 0


@pytest.mark.parametrize("words", [["--copy", "one:1"], ["--timeout", "5"]])
def test_to_undo_waits_for_nobody(
    database: Path, asked: list[tuple[str, str]], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(["drain", "--db", str(database)]) == 0
    assert main(["drain", "--undo", "--db", str(database), *words]) == 64
    assert "leave out --copy and --timeout" in capsys.readouterr().err
    assert main(["exec", "--db", str(database), "INSERT INTO t VALUES (1)"]) == 77
    assert asked == []

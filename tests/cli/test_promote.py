"""``spgrepl promote``: by the follower that runs, or by force; more in `test_failover`."""

from __future__ import annotations

from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from spgrepl.base.results import QueryResult
from spgrepl.cli import main, promote
from spgrepl.disk.files import DatabasePaths
from tests.failover.test_failover import copy_of_statements


@pytest.fixture
def copy(tmp_path: Path) -> DatabasePaths:
    return copy_of_statements(tmp_path / "copy")[0]


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a follower that runs was told to do."""
    found: list[str] = []

    def execute(sql: str, _server: Any, _paths: DatabasePaths) -> QueryResult:
        found.append(sql)
        return QueryResult(("position", "said"), [("77@" + "a" * 32, "history begins")])

    monkeypatch.setattr(promote, "execute_at_server", execute)
    return found


@pytest.mark.parametrize(("words", "order"), [([], "PROMOTE"), (["--force"], "PROMOTE FORCE")])
@pytest.mark.parametrize("listening", [None, "127.0.0.1:7433"])
def test_a_follower_that_runs_is_told(
    copy: DatabasePaths,
    ordered: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    order: str,
    listening: str | None,
) -> None:
    follower = {"role": "follower", "listening": listening}
    answers = iter([follower, follower, None, {"role": "master"}])
    monkeypatch.setattr(promote, "running_server", lambda _: next(answers))
    assert main(["promote", "--db", str(copy.database), *words]) == 0
    out, err = capsys.readouterr()
    assert (ordered, out.splitlines()) == ([order], ["history begins", "77@" + "a" * 32])
    assert ("nothing serves" in err) is (listening is None)
    # It returns when a master is there: whoever writes next is not told that a process holds the lock.
    assert len(list(answers)) == (3 if listening is None else 0)


def test_a_process_that_does_not_go_on_as_a_master_is_named(
    copy: DatabasePaths, ordered: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(promote, "_MOST_SECONDS", 0.1)
    answers = chain([{"role": "follower", "listening": "127.0.0.1:7433"}], repeat(None))
    monkeypatch.setattr(promote, "running_server", lambda _: next(answers))
    assert main(["promote", "--db", str(copy.database)]) == 0
    assert f"nothing has served {copy.database} as a master within 0.1 s" in capsys.readouterr().err


def test_by_force_it_is_promoted_as_it_is(copy: DatabasePaths, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "--db", str(copy.database)]) == 77
    assert main(["promote", "--db", str(copy.database), "--force"]) == 0
    said, position = capsys.readouterr().out.splitlines()
    assert said == f"history {position.partition('@')[2]} begins"
    assert main(["promote", "--db", str(copy.database), "--force"]) == 78
    assert main(["exec", "--db", str(copy.database), "INSERT INTO t VALUES (9)"]) == 0


def test_a_damaged_copy_is_named(copy: DatabasePaths, capsys: pytest.CaptureFixture[str]) -> None:
    copy.database.write_bytes(b"x" * 4096)
    assert main(["promote", "--db", str(copy.database), "--force"]) not in (0, 77)
    assert str(copy.database) in capsys.readouterr().err

"""``spgrepl follow``: what the new primary says decides; more in `test_failover` and `tests/failover`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spgrepl.cli import follow, main
from spgrepl.failover.lost import Lost
from spgrepl.failover.rejoin import NewPrimary, Rejoined
from tests.primary.copying import opened

HISTORIES = [{"id": "a" * 32, "offset": 5, "stop": None}]


class NewServer:
    """What the new primary's master says, and what is made of it."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {"histories": HISTORIES, "positions": {"durable": 90}}
        self.done = Rejoined(80, None, Path("old.wal"))
        self.calls: list[tuple[NewPrimary, bool]] = []

    def rejoin(self, _paths: Any, primary: NewPrimary, *, resnapshot: bool) -> Rejoined:
        self.calls.append((primary, resnapshot))
        return self.done


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with opened(tmp_path) as writer:
        return writer.paths.database


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> NewServer:
    made = NewServer()
    monkeypatch.setattr(follow, "ask", lambda *_: (200, made.status))
    monkeypatch.setattr(follow, "rejoin", made.rejoin)
    return made


def run(database: Path, *words: str) -> int:
    return main(["follow", "--db", str(database), "--http", "new:1", *words])


def test_its_histories_and_the_length_of_its_log_are_what_counts(
    server: NewServer, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(database, "--resnapshot") == 0
    ((primary, resnapshot),) = server.calls
    assert (primary.length, [one.id for one in primary.histories], resnapshot) == (90, ["a" * 32], True)
    assert capsys.readouterr().out.splitlines() == [
        "the old log is old.wal",
        f"{database} goes on at position 80 when it is started as a follower",
    ]


def test_what_was_lost_is_told_first(
    server: NewServer, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Lost(40, 12, 1, Path("old.wal.lost-40"))
    server.done = Rejoined(None, lost, None, "because")
    assert run(database) == 0
    assert capsys.readouterr().out.splitlines() == [
        str(lost),
        "because",
        f"{database} begins with a fresh snapshot when it is started as a follower",
    ]


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"histories": HISTORIES, "positions": {"durable": None}, "role": "follower", "state": "waiting"},
        {"histories": None, "positions": {"durable": 5}},
        {"histories": [{"id": "a"}], "positions": {"durable": 5}},
    ],
)
def test_a_server_that_does_not_say_is_not_followed(
    server: NewServer, database: Path, status: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = status
    assert run(database) == 69
    assert "http://new:1 does not say which histories it holds (HTTP status 200, role" in capsys.readouterr().err
    assert server.calls == []


def test_files_that_a_server_has_open_are_left_alone(
    server: NewServer, database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(follow, "running_server", lambda _: {"role": "master"})
    assert run(database) == 75
    assert f"a master of {database} runs: stop it first" in capsys.readouterr().err
    assert server.calls == []

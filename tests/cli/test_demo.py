"""``spgrepl demo``; the whole of it runs in `tests/end_to_end/test_demo.py`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from spgrepl.cli import demo, main
from spgrepl.cli.parts.table import Table
from spgrepl.errors import EXIT_UNAVAILABLE
from spgrepl.server.status.client import ServerUnreachable
from spgrepl.testing.stepping import StepReactor


class Reactor(StepReactor):
    """One that runs until it is stopped, and cleans up first."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Any] = []
        self.stopped = False

    def addSystemEventTrigger(self, _phase: str, _event: str, function: Any) -> None:
        self.triggers.append(function)

    def callWhenRunning(self, function: Any) -> None:
        self.callLater(0, function)

    def run(self) -> None:
        self.until(lambda: self.stopped, 600, "the end")
        for function in self.triggers:
            self.wait(Deferred.fromCoroutine(_awaited(function())))

    def stop(self) -> None:
        self.stopped = True


async def _awaited(deferred: Any) -> Any:
    return await deferred


class DeadServer:
    """A process that ends at once."""

    def __init__(self, _reactor: Any, name: str, words: list[str], _output: Path) -> None:
        self.name, self.words = name, words
        self.running = False
        self.stopped = 0

    def start(self) -> None:
        """It has ended already."""

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)

    def last_words(self) -> str:
        return f"no port for the {self.name}"


def test_a_server_that_does_not_start_is_shown_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: Any) -> Any:
        raise ServerUnreachable("nobody")

    monkeypatch.setattr(demo, "ServerProcess", DeadServer)
    monkeypatch.setattr(demo, "ask", nobody)
    output = io.StringIO()
    made = demo.Demo(Reactor(), tmp_path, 1.0, Table(output))
    made.run()
    assert made.exit_code == EXIT_UNAVAILABLE
    shown = output.getvalue()
    assert "the demonstration failed: the master did not start" in shown
    assert "no port for the subscriber" in shown
    assert all(server.stopped == 1 for server in made._servers.values())  # type: ignore[attr-defined]


def test_the_folders_name_leaves_room_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    folder = demo._make_folder()
    assert len(f"{folder}/subscriber.http") < 108
    assert list(long.iterdir()) == []
    folder.rmdir()


@pytest.mark.parametrize("seconds", ["-1", "x", "nan"])
def test_how_long_to_write_is_a_number_of_seconds(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--seconds", seconds])
    assert caught.value.code == 64
    assert "--seconds" in capsys.readouterr().err

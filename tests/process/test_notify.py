"""What systemd is told: real datagrams, and when the watchdog is fed."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from twisted.internet.task import Clock

from spgrepl.process.notify import NotifySocket, Progress, notifier_for, status_line
from tests.watch.statuses import follower, master, peer

UNITS = Path(__file__).parent.parent.parent / "contrib" / "systemd"


class Systemd:
    """The other end of a notify socket."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": address}

    def told(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Systemd]:
    name = str(tmp_path / "notify")
    found = Systemd(name if request.param == "path" else "@" + name)
    yield found
    found.close()


def test_a_process_that_starts_lives_and_ends(systemd: Systemd) -> None:
    clock, statuses = Clock(), [master(state="starting")]
    notifier = notifier_for(clock, lambda: statuses, {**systemd.environment, "WATCHDOG_USEC": "3000000"})
    assert notifier is not None
    notifier.startService()
    clock.pump([1.0, 1.0])
    assert systemd.told() == ["STATUS=master main.db: starting, 1 connected", "WATCHDOG=1", "WATCHDOG=1"]
    statuses[:] = [master()]
    clock.pump([1.0])
    assert systemd.told() == ["READY=1", "STATUS=master main.db: serving, 1 connected", "WATCHDOG=1"]
    clock.pump([1.0])
    assert systemd.told() == ["WATCHDOG=1"]
    notifier.reloading()
    notifier.reloaded()
    first, second = systemd.told()
    assert first.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert second == "READY=1"
    notifier.stopService()
    assert systemd.told() == ["STOPPING=1\nSTATUS=stopping"]
    assert clock.getDelayedCalls() == []


def test_without_a_watchdog_none_is_fed(systemd: Systemd) -> None:
    clock = Clock()
    notifier = notifier_for(clock, lambda: [follower()], systemd.environment)
    assert notifier is not None
    notifier.startService()
    clock.pump([1.0] * 5)
    assert systemd.told() == ["READY=1", "STATUS=follower copy.db: streaming, lag 20 bytes, 0 s"]
    notifier.stopService()


@pytest.mark.parametrize(
    "environment",
    [{"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(systemd: Systemd, environment: dict[str, str]) -> None:
    clock = Clock()
    notifier = notifier_for(clock, lambda: [follower()], {**systemd.environment, **environment})
    assert notifier is not None
    notifier.startService()
    clock.pump([1.0] * 3)
    assert "WATCHDOG=1" not in systemd.told()
    notifier.stopService()


def test_a_process_that_systemd_has_not_started_tells_nothing() -> None:
    assert notifier_for(Clock(), list, {}) is None


def test_nobody_takes_the_message(tmp_path: Path) -> None:
    NotifySocket(str(tmp_path / "nothing")).send(READY=1)


def test_how_the_roles_are_in_a_line() -> None:
    assert status_line([]) == "no role"
    waiting: dict[str, Any] = follower(
        state="waiting", lag={"bytes": None, "seconds": None}, error="x", error_kind="k"
    )
    assert status_line([master(), waiting]) == (
        "master main.db: serving, 1 connected; follower copy.db: waiting, lag unknown (k)"
    )


def test_problems_of_a_kind_are_counted_in_the_line() -> None:
    away = [peer(name=name, state="away", position=None, lag_bytes=None) for name in ("a", "b", "c")]
    assert status_line([master(peers=away)]) == "master main.db: serving, 1 connected (3 peer_away)"


def test_the_watchdog_starves_where_a_copy_stands_still() -> None:
    progress = Progress(10.0)
    assert progress.goes_on([follower()], 0.0)
    assert progress.goes_on([follower()], 9.0)
    assert not progress.goes_on([follower()], 10.0)
    moved = follower(positions={"source": 130, "received": 130, "durable": 130, "applied": 110})
    assert progress.goes_on([moved], 11.0)


@pytest.mark.parametrize(
    "status",
    [
        follower(state="delayed"),
        follower(state="waiting"),
        follower(lag={"bytes": 0, "seconds": 0.0}),
        follower(open_transactions={"count": 1, "seconds": 60.0}),
        master(),
    ],
)
def test_the_watchdog_is_fed_where_nothing_is_to_be_done_or_a_start_would_not_help(status: dict[str, Any]) -> None:
    progress = Progress(10.0)
    assert all(progress.goes_on([status], float(moment)) for moment in range(0, 100, 5))


@pytest.mark.skipif(which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_has_nothing_against_the_units() -> None:
    for name in ("spgrepl@.service", "spgrepl@.socket"):
        command = ["systemd-analyze", "verify", "--man=no", str(UNITS / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert [line for line in done.stderr.splitlines() if "spgrepl" in line] == []

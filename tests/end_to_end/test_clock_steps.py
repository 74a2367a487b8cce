"""The time of day is set back by an hour under servers that run."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.wire.frames import FrameParser, Status
from spgrepl.wire.handshake import FollowerHello, ReplyParser, StreamVersion
from tests.end_to_end.conftest import TWISTD, Server, until

_SET_BACK = """
import os, time
_time = time.time
time.time = lambda: _time() - 3600 * os.path.exists('set-back')
"""


class SteppedServer(Server):
    """A server whose clock is set back by an hour as soon as it is told to."""

    program = _SET_BACK + TWISTD

    def set_back(self) -> None:
        (self.folder / "set-back").touch()


@pytest.fixture
def master(tmp_path: Path, free_port: int) -> Iterator[SteppedServer]:
    made = SteppedServer(tmp_path, "master", "master", "--listen", f"127.0.0.1:{free_port}")
    yield made
    made.clean_up()


@pytest.fixture
def follower(tmp_path: Path, free_port: int) -> Iterator[SteppedServer]:
    made = SteppedServer(tmp_path, "follower", "follower", "--master", f"127.0.0.1:{free_port}")
    yield made
    made.clean_up()


def test_a_master_goes_on_sending_its_status(master: SteppedServer) -> None:
    master.start()
    position = master.execute("CREATE TABLE t (a)")
    with socket.create_connection(("127.0.0.1", master.port()), timeout=30) as peer:
        peer.sendall(FollowerHello(StreamVersion.V2, position).encode())
        reply, frames = ReplyParser(position), FrameParser()
        times: list[int] = []

        def take() -> None:
            data = peer.recv(65536)
            assert data, master.output()
            _, rest = reply.feed(data) if not reply.complete else ([], data)
            times.extend(one.clock for one in frames.feed(rest) if isinstance(one, Status))

        while not times:
            take()
        master.set_back()
        while times[-1] > times[0] - 3_000_000_000:
            take()
        seen = len(times)
        while len(times) < seen + 3:
            take()


def test_a_follower_that_waits_for_its_master_finds_it(master: SteppedServer, follower: SteppedServer) -> None:
    follower.start()
    until(lambda: follower.status()["state"] == "waiting", follower.output)
    follower.set_back()
    master.start()
    follower.wait(master.execute("CREATE TABLE t (a)"))

"""``spgrepl status``: several servers, some of which are dead, silent, or something else."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from spgrepl.cli import main
from spgrepl.server.status.client import StatusAddress
from tests.watch.statuses import PLACING, follower, master

Serve = Callable[[object], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Servers that answer with something in JSON."""
    running: list[ThreadingHTTPServer] = []

    def one(content: object) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, args=(0.01,)).start()
        running.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield one
    for server in running:
        server.shutdown()
        server.server_close()


def status(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["status", *words])
    return code, capsys.readouterr().out


def problem() -> dict[str, Any]:
    return follower(state="delayed", error="a lock is held", error_kind="delayed")


def test_all_is_well(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    servers = serve(follower()), serve({"roles": [master(), follower()]})
    assert status(capsys, "--check", *servers) == (0, "")
    code, told = status(capsys, *servers)
    assert code == 0
    assert [line.split(" at ")[0] for line in told.splitlines() if " at " in line] == [
        "follower copy.db",
        "master main.db",
        "follower copy.db",
    ]


def test_rows_that_a_copy_does_without(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    copy = follower(cold_rows_left_out={"t": {"rows": 1200, "first_key": -7}})
    code, told = status(capsys, serve(copy))
    assert "  without 1,200 rows of t, from key -7 on: their cold segments never came\n" in told
    # Whoever runs it has said so.
    assert status(capsys, "--check", serve(copy)) == (0, "")
    assert code == 0


def test_good_ones_bad_ones_and_dead_ones_in_the_order_in_which_they_were_named(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = serve(follower()), serve(problem())
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        dead = f"127.0.0.1:{taken.getsockname()[1]}"
    assert status(capsys, "--check", good, bad) == (
        75,
        f"http://{bad}: follower copy.db: delayed: a lock is held\n",
    )
    code, told = status(capsys, "--check", bad, dead, good)
    assert code == 69
    first, second = told.splitlines()
    assert first.startswith(f"http://{bad}: ")
    assert second.startswith(f"unreachable: http://{dead} does not answer: Connection refused.")
    code, told = status(capsys, "--check", "--json", bad, dead)
    assert code == 69
    assert [(one["server"], len(one["roles"]), one["error"] is None) for one in json.loads(told)] == [
        (f"http://{bad}", 1, True),
        (f"http://{dead}", 0, False),
    ]


def test_how_far_a_snapshot_is_and_then_its_rows(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    comes = {"received": 25, "length": 100, "placing": None}
    assert "  snapshot: 25 of 100 bytes, 25%\n" in status(capsys, serve(follower(bootstrap=comes)))[1]
    here = {"received": 100, "length": 100, "placing": PLACING}
    code, said = status(capsys, serve(follower(bootstrap=here)))
    assert code == 0
    done = "table notes, 4,000 of 10,000 rows, 400,000 of 1,000,000 bytes, 2.0 MB/s, 3 s left"
    assert f"  in place: copy, 40%, {done}\n" in said
    here["placing"] = dict.fromkeys(PLACING) | {"step": "commit", "seconds": 1.0}
    assert "  in place: commit, for 1 s\n" in status(capsys, serve(follower(bootstrap=here)))[1]
    assert "  in place" not in status(capsys, serve(follower(bootstrap={"received": 1, "length": 1})))[1]


def test_servers_are_asked_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Each answers when all have been asked, and not before."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    asked = [Event() for _ in listeners]

    def answer(place: int) -> None:
        connection, _ = listeners[place].accept()
        asked[place].set()
        assert all(one.wait(60) for one in asked)
        body = json.dumps(follower()).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        connection.close()

    threads = [Thread(target=answer, args=(place,)) for place in range(len(listeners))]
    for thread in threads:
        thread.start()
    servers = [f"127.0.0.1:{one.getsockname()[1]}" for one in listeners]
    assert status(capsys, "--check", "--timeout", "60", *servers) == (0, "")
    for thread in threads:
        thread.join()
    for one in listeners:
        one.close()


@pytest.mark.parametrize("content", [[], {}, {"roles": 1}, {"roles": [1]}, {"role": "follower"}, {"error": "no"}])
def test_something_else_that_answers_in_json(
    serve: Serve, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = status(capsys, serve(content))
    assert code == 69
    assert "answers, but not as a server of spgrepl does" in told


def test_the_port_where_followers_connect(capsys: pytest.CaptureFixture[str]) -> None:
    """A master that is sent something else than a hello hangs up."""

    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        ending = Thread(target=hang_up)
        ending.start()
        code, told = status(capsys, f"127.0.0.1:{listener.getsockname()[1]}")
        ending.join()
    assert code == 69
    assert "it may be where followers connect (--listen); name what its --http says" in told


def test_a_server_that_takes_a_connection_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        code, told = status(capsys, "--check", "--timeout", "0.1", f"127.0.0.1:{listener.getsockname()[1]}")
    assert code == 69
    assert "does not answer: nothing came for 0.1 s. It is stopped or overloaded" in told


def test_an_address_of_ipv6_is_shown_as_it_is_written() -> None:
    assert str(StatusAddress.parse("http://[::1]:8080")) == "http://[::1]:8080"
    assert StatusAddress.parse("[::1]:8080") == StatusAddress("::1", 8080)

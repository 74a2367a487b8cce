"""``spgrepl wait`` against a real HTTP server in a thread of its own."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from spgrepl.cli import main
from spgrepl.cli.parts import servers
from spgrepl.errors import UsageError
from spgrepl.server.status.client import StatusAddress

ANSWERS: list[tuple[int, object]] = []
ASKED: list[dict[str, list[str]]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ASKED.append(parse_qs(urlsplit(self.path).query))
        code, content = ANSWERS.pop(0)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "peer"

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["tcp", "unix"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    ANSWERS.clear()
    ASKED.clear()
    if request.param == "tcp":
        server: socketserver.BaseServer = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        address = f"http://127.0.0.1:{server.server_address[1]}"
    else:
        server = socketserver.UnixStreamServer(str(tmp_path / "s"), Handler)
        address = f"unix:{tmp_path}/s"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_position_that_was_reached_is_printed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ANSWERS.append((200, {"applied": 700}))
    assert main(["wait", "--http", url, "622"]) == 0
    assert capsys.readouterr().out == "700\n"
    assert ASKED[0]["position"] == ["622"]


def test_a_long_wait_is_several_requests(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ANSWERS.extend([(504, {"error": "not yet"}), (504, {"error": "not yet"}), (200, {"applied": 622})])
    assert main(["wait", "--http", url, "622"]) == 0
    assert len(ASKED) == 3


def test_who_waits_is_told_how_far_the_server_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A number that the server never comes to, as of another log of a chain, is seen at once."""
    ANSWERS.extend([(504, {"error": "position 622 was not reached; it stands at 131"}), (200, {"applied": 622})])
    assert main(["wait", "--http", url, "622"]) == 0
    said = capsys.readouterr()
    assert said.err == (f"spgrepl: still waiting for {url}: position 622 was not reached; it stands at 131\n")
    assert said.out == "622\n"
    assert [asked["timeout"] for asked in ASKED] == [["2.000"], ["10.000"]]


def test_a_different_history_is_76(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ANSWERS.append((409, {"error": "position 5 is of another history"}))
    assert main(["wait", "--http", url, "5"]) == 76
    assert capsys.readouterr().err == f"spgrepl: {url}: position 5 is of another history\n"


def test_a_timeout_is_75(url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.0, 4.0, 8.0])
    monkeypatch.setattr(servers.time, "monotonic", lambda: next(moments))
    ANSWERS.extend([(504, {"error": "not yet"})] * 2)
    assert main(["wait", "--http", url, "--timeout", "5", "622"]) == 75
    assert "has not applied position 622 within 5 s" in capsys.readouterr().err
    assert [asked["timeout"] for asked in ASKED] == [["2.000"], ["1.000"]]


@pytest.mark.parametrize("answer", [(503, {"error": "the follower was stopped"}), (200, b"<html>"), (200, [1])])
def test_a_server_that_cannot_say_is_69(
    url: str, answer: tuple[int, object], capsys: pytest.CaptureFixture[str]
) -> None:
    ANSWERS.append(answer)
    assert main(["wait", "--http", url, "622"]) == 69
    assert capsys.readouterr().err.startswith(f"spgrepl: {url} ")


def test_nobody_there_is_69(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", "--http", f"unix:{tmp_path}/none", "622"]) == 69
    assert "does not answer: No such file or directory" in capsys.readouterr().err
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as gone:
        port = gone.server_address[1]
    assert main(["wait", "--http", f"127.0.0.1:{port}", "622"]) == 69
    assert capsys.readouterr().err == (
        f"spgrepl: http://127.0.0.1:{port} does not answer: Connection refused. Start its server, or name where "
        f"another has its --http\n"
    )


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://h:80/status", StatusAddress("h", 80)),
        ("http://h", StatusAddress("h", 80)),
        ("h:8080", StatusAddress("h", 8080)),
        ("[::1]:8080", StatusAddress("::1", 8080)),
        ("unix:/run/s", StatusAddress(path="/run/s")),
    ],
)
def test_addresses(text: str, address: StatusAddress) -> None:
    assert StatusAddress.parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "ftp://h", "http://", "http://h:99999", "http://h/other", "unix:relative", "h:x"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address of a server"):
        StatusAddress.parse(text)

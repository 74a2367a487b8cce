"""Statements that ``spgrepl exec`` puts to a running server."""

from __future__ import annotations

import http.server
import json
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from spgrepl.cli import main
from spgrepl.disk.files import DatabasePaths

_SERVER = """
import sys
from twisted.internet import reactor
from spgrepl.server.control_socket import ControlSocket
from spgrepl.disk.files import DatabasePaths
from spgrepl.base.waiters import PositionWaiters
from spgrepl.catalogue.server_statements import ServerStatements
from spgrepl.server.status.resource import build_site
from spgrepl.log.stored_level import StoredLevel
from spgrepl.log.wal_level import WalLevel
from spgrepl.watch.settings import HttpGuard

paths, level = DatabasePaths.of(sys.argv[1]), WalLevel()
stored = StoredLevel(reactor, paths.wal_level, level)
waiters = PositionWaiters(reactor, "the test's log")
waiters.reached(622)
site = build_site(reactor, dict, waiters.wait, ServerStatements(level, stored.set, waiters.wait).run,
                  guard=HttpGuard(token=sys.argv[2]))
ControlSocket(reactor, paths.control_socket, site).startService()
print(reactor.listenTCP(0, site, interface="127.0.0.1").getHost().port, flush=True)
reactor.run()
"""


TOKEN = "the token of this server"


@attrs.frozen
class Server:
    """A running server."""

    database: str
    url: str
    token: str


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        database = str(Path(folder) / "main.db")
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, database, TOKEN], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        port = int(process.stdout.readline())
        token = Path(folder) / "token"
        token.write_text(f"{TOKEN}\n")
        yield Server(database, f"http://127.0.0.1:{port}", str(token))
        process.terminate()
        process.communicate()


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["exec", *words])
    out, err = capsys.readouterr()
    return code, out, err


LEVEL = "effective_wal_level"
TABLE = f"{LEVEL}\n-------------------\n%s\n(1 row)\n"


@pytest.mark.parametrize("by", ["control socket", "http", "http without a database"])
def test_the_level_of_a_running_master(server: Server, capsys: pytest.CaptureFixture[str], by: str) -> None:
    words = {
        "control socket": ["--db", server.database],
        "http": ["--db", server.database, "--http", server.url, "--http-token-file", server.token],
        "http without a database": ["--http", server.url, "--http-token-file", server.token],
    }[by]
    for level in ("logical", "replica"):
        assert run(capsys, *words, f"SET {LEVEL} = '{level}'") == (0, "", "")
        assert run(capsys, *words, f"SHOW {LEVEL}") == (0, TABLE % level, "")
    both = run(capsys, *words, f"SET {LEVEL} TO logical; SHOW {LEVEL}; SET {LEVEL} TO replica")
    assert both == (0, TABLE % "logical", "")
    assert not Path(server.database).exists()


def test_what_a_server_or_the_command_refuses(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--db", server.database, f"SET {LEVEL} = 'minimal'")
    assert (code, out) == (65, "")
    assert "statement 1 failed: SET effective_wal_level: expected 'replica' or 'logical'" in err


def test_waiting_at_a_server(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    there = ["--http", server.url, "--http-token-file", server.token]
    assert run(capsys, *there, "WAIT FOR WAL POSITION 622") == (0, "1\n", "")
    code, out, err = run(capsys, *there, "WAIT FOR WAL POSITION 623 WITH TIMEOUT 1", f"SHOW {LEVEL}")
    assert (code, out) == (75, "0\n")
    assert "position 623 was not reached in time" in err


def test_without_the_token(server: Server, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "--http", server.url, f"SHOW {LEVEL}")
    assert code == 77
    assert "with the token of --http-token-file" in err
    other = tmp_path / "token"
    other.write_text("another token of that length\n")
    assert run(capsys, "--http", server.url, "--http-token-file", str(other), f"SHOW {LEVEL}")[0] == 77
    other.write_text("short")
    with pytest.raises(SystemExit) as ended:
        run(capsys, "--http", server.url, "--http-token-file", str(other), f"SHOW {LEVEL}")
    assert ended.value.code == 64


@pytest.mark.parametrize("words", [["SHOW PUBLICATIONS"], ["SELECT 1"], ["CREATE PUBLICATION p"]])
def test_what_needs_a_database(server: Server, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    for more in ([], ["--http", server.url]):
        code, out, err = run(capsys, *more, *words)
        assert (code, out) == (64, "")
        assert "--db is missing" in err


@pytest.mark.parametrize("stale", [False, True])
def test_no_master_is_running(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, stale: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if stale:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(DatabasePaths.of("a.db").control_socket.name)
    code, out, err = run(capsys, "--db", "a.db", f"SET {LEVEL} = 'logical'")
    assert (code, out) == (69, "")
    assert "statement 1 failed: no server of a.db is running" in err
    assert "twistd spgrepl master" in err
    assert not Path("a.db").exists()


def test_a_name_that_is_too_long_for_a_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "--db", str(tmp_path / f"{'x' * 120}.db"), f"SHOW {LEVEL}")
    assert code == 69
    assert "path too long" in err


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ((403, {"error": "this machine only"}), 77, "refuses: this machine only"),
        ((405, {"error": "this server is only asked"}), 69, "takes no statements: ask a master"),
        ((404, {"error": "there is /status"}), 69, "takes no statements: ask a master"),
        ((503, {"error": "too many"}), 69, "cannot say: too many"),
        ((200, "what"), 69, "not as a server of spgrepl does"),
    ],
)
def test_servers_that_do_not_answer_so(
    answer: tuple[int, object], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/sql"
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(json.dumps(answer[1]).encode())

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{listening.server_address[1]}"
        found, out, err = run(capsys, "--http", url, f"SHOW {LEVEL}")
        thread.join()
    assert (found, out) == (code, "")
    assert message in err

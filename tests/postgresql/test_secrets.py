"""A server that wants a password: whatever way that comes, and whether it is right, it is shown nowhere."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spgrepl.server.status.client import StatusAddress
from tests.end_to_end.conftest import TWISTD, Server, environment, until
from tests.postgresql.pair import copying
from tests.postgresql.server import PostgresServer, made_server

SECRET, WRONG = "Geheim-4711", "Falsch-0815"
PAGES = ("/", "/status", "/metrics", "/history", "/events")
ROLES = ("follower", "subscriber")


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """A server that lets the role ``app`` in with its password only."""
    with made_server() as server:
        rules = server.data / "pg_hba.conf"
        rules.write_text("local all app scram-sha-256\nlocal all all trust\n")
        server.start()
        server.query("postgres", f"CREATE ROLE app LOGIN SUPERUSER PASSWORD '{SECRET}'")
        yield server


@pytest.fixture
def database(guarded: PostgresServer) -> str:
    guarded.query("postgres", f"ALTER ROLE app PASSWORD '{SECRET}'")
    guarded.new_database("copy")
    return "copy"


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path, "master", "master", "--listen", "tcp:0:interface=127.0.0.1")
    made.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)", "CREATE PUBLICATION p")
    yield made.start("--wal-level", "logical")
    made.clean_up()


def _uri(server: PostgresServer, database: str) -> str:
    return server.url(database, "app")


def _pairs(server: PostgresServer, database: str) -> str:
    return f"host='{server.folder}' user=app dbname={database}"


def by_environment(
    folder: Path, password: str, server: PostgresServer, database: str
) -> tuple[str, dict[str, str]]:
    return _uri(server, database), {"PGPASSWORD": password}


def by_keywords(folder: Path, password: str, server: PostgresServer, database: str) -> tuple[str, dict[str, str]]:
    return _pairs(server, database), {"PGPASSWORD": password}


def by_password_file(
    folder: Path, password: str, server: PostgresServer, database: str
) -> tuple[str, dict[str, str]]:
    file = folder / "passwords"
    file.write_text(f"*:*:*:app:{password}\n")
    file.chmod(0o600)
    return _uri(server, database), {"PGPASSFILE": str(file)}


def by_service_file(
    folder: Path, password: str, server: PostgresServer, database: str
) -> tuple[str, dict[str, str]]:
    lines = [f"host={server.folder}", "user=app", f"dbname={database}", f"password={password}"]
    file = folder / "services"
    file.write_text("\n".join(["[reports]", *lines]) + "\n")
    return "postgresql:///?service=reports", {"PGSERVICEFILE": str(file)}


Way = Callable[[Path, str, PostgresServer, str], tuple[str, dict[str, str]]]
WAYS = (
    (by_environment, "follower"),
    (by_keywords, "subscriber"),
    (by_password_file, "follower"),
    (by_service_file, "subscriber"),
)


def make(folder: Path, role: str, master: Server, engine: str) -> Server:
    return Server(folder, role, *copying(role, f"127.0.0.1:{master.port()}", engine))


def page(address: StatusAddress, path: str) -> str:
    """What a server answers; of what has no end the first part."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(10)
        asking.connect(address.path)
        asking.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        parts = []
        while part := asking.recv(65536):
            parts.append(part)
            if path == "/events" and b"data:" in b"".join(parts):
                break
    return b"".join(parts).decode()


def everything(server: Server) -> str:
    """What can be seen of a server: its words in ``ps``, its log, and, while it runs, all that it answers."""
    seen = [server.output(), *(str(one) for one in server.folder.iterdir())]
    if server.running():
        assert server._process is not None
        seen.append(Path(f"/proc/{server._process.pid}/cmdline").read_text())
        answers = [page(server.http, path) for path in PAGES]
        assert answers[0].startswith("HTTP/1.0 200"), answers[0][:200]
        assert "positions" in answers[1]
        assert "spgrepl_" in answers[2]
        seen += answers
    return "\n".join(seen)


def shown(server: Server) -> list[str]:
    """Which of the passwords can be seen."""
    text = everything(server)
    return [one for one in (SECRET, WRONG) if one in text]


@pytest.mark.parametrize(("way", "role"), WAYS)
def test_a_password_is_shown_nowhere(
    way: Way,
    role: str,
    guarded: PostgresServer,
    database: str,
    master: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While it works, when the server does not know it any more, and when it is wrong from the start."""
    engine, variables = way(tmp_path, SECRET, guarded, database)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = make(tmp_path, role, master, engine)
    try:
        server.start()
        until(lambda: server.status()["state"] == "streaming", server.output)
        assert shown(server) == []
        guarded.query("postgres", f"ALTER ROLE app PASSWORD '{WRONG}'")
        guarded.query("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        master.execute("INSERT INTO t VALUES (1)")
        until(lambda: "password authentication failed" in str(server.status()["error"]), server.output)
        assert shown(server) == []
        assert server.stop() in (0, -15)
        server.launch()
        assert server.exit_code() == 78
        assert "password authentication failed" in server.output()
        assert shown(server) == []
    finally:
        server.clean_up()


@pytest.mark.parametrize("role", ROLES)
def test_where_no_server_is_no_password_is_shown(
    role: str, guarded: PostgresServer, master: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    server = make(tmp_path, role, master, f"postgresql://app@/copy?host={tmp_path}")
    try:
        server.launch()
        until(lambda: "cannot be reached" in server.output(), server.output)
        assert SECRET not in server.output()
    finally:
        server.clean_up()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (f"postgresql://app:{SECRET}@/copy", "seen by every user"),
        (f"postgresql://app@/copy?password={SECRET}", "seen by every user"),
        (f"host=/tmp user=app password='{SECRET}' dbname=copy", "seen by every user"),
        (f"host=/tmp user='app password={SECRET}", "is named by a URI"),
        (f"mysql://app:{SECRET}@host/copy", "is not built into this version"),
    ],
)
def test_a_password_on_the_command_line_is_refused_without_it(
    engine: str, said: str, role: str, tmp_path: Path
) -> None:
    """It ends at once, so that nobody sees it there for long."""
    words = ["-n", "--pidfile=", "spgrepl", *copying(role, "127.0.0.1:1", engine), "--db", str(tmp_path / "a.db")]
    done = subprocess.run(
        [sys.executable, "-c", TWISTD, *words],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 64
    assert said in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr

"""The page, in a real Chromium, of real servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest

from spgrepl.server.status.client import ServerUnreachable, StatusAddress, ask
from tests.chromium import MISSING, Page, browser
from tests.end_to_end.conftest import TWISTD, Server, Start, environment, until

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

RUN = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "spgrepl", "run", "--config", "c.toml"]
LOCAL = "127.0.0.1:0"
TAB, ENTER = "\ue004", "\ue007"
PICTURES = Path(__file__).parent.parent.parent / "docs" / "images"
TAKE_PICTURES = bool(os.environ.get("SPGREPL_PICTURES"))
"""Whether the pictures in docs/images are taken again."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as found:
        yield found


@pytest.fixture
def ports() -> Callable[[], int]:
    def free() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return free


class Shown:
    """A server whose page is open."""

    def __init__(self, page: Page, server: Server, url: str) -> None:
        self.page = page
        self.server = server
        page.show_as(1200, 900, "light")
        page.open(url)
        page.until("document.body.dataset.shown")
        page.console()  # of the page before, whose server may have ended

    def value(self, field: str) -> Any:
        found = self.page.run(
            'const e = document.querySelector(`[data-field="${arguments[0]}"]`); return e && e.dataset.value',
            field,
        )
        return None if found is None else json.loads(found)

    def peer_state(self, name: str) -> Any:
        where = f'tr[data-peer="{name}"] .badge'
        return self.page.run("return document.querySelector(arguments[0])?.textContent", where)

    def picture(self, name: str, **how: Any) -> None:
        if TAKE_PICTURES:
            PICTURES.mkdir(exist_ok=True)
            self.page.screenshot(PICTURES / name, **how)


def served(server: Server, port: int) -> str:
    """Have a server show its page on a port as well: its own site is on a UNIX socket, where no browser gets."""
    server._words[server._words.index("--http") + 1] = f"127.0.0.1:{port}"
    server.http = type(server.http)(host="127.0.0.1", port=port)
    return f"http://127.0.0.1:{port}/"


def follower(make: Start, master: Server, name: str, address: str, *words: object) -> Server:
    return make(name, "follower", "--master", f"tcp:127.0.0.1:{master.port()}:bindAddress={address}", *words)


def test_a_master_with_peers_that_come_and_go(make: Start, page: Page, ports: Callable[[], int]) -> None:
    """Values are those of the status; a follower that is killed is seen as away, and again when it is back."""
    master = make("master", "master", "--listen", LOCAL, "--peer", "berlin=127.0.0.2", "--peer", "paris=127.0.0.3")
    url = served(master, ports())
    master.start()
    berlin = follower(make, master, "berlin", "127.0.0.2").start()
    paris = follower(make, master, "paris", "127.0.0.3").start()
    position = master.execute(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
        *(f"INSERT INTO notes VALUES ({number}, 'note {number}')" for number in range(50)),
    )
    berlin.wait(position)
    paris.wait(position)
    shown = Shown(page, master, url)
    until(lambda: shown.value("positions.applied") == position)
    status = master.status()
    assert shown.value("positions.source") == status["positions"]["source"] == position
    assert shown.value("state") == status["state"] == "serving"
    assert shown.value("connections") == status["connections"] == 2
    until(lambda: shown.peer_state("berlin") == "streaming")
    rows = page.run(
        "const values = (row) => [...row.querySelectorAll('[data-field]')]"
        ".map((e) => [e.dataset.field, JSON.parse(e.dataset.value)]);"
        "return Object.fromEntries([...document.querySelectorAll('.peers tr[data-peer]')]"
        ".map((row) => [row.dataset.peer, Object.fromEntries(values(row))]));"
    )
    for peer in status["peers"]:
        assert rows[peer["name"]] == {
            "peer": peer["name"],
            "state": peer["state"],
            "position": peer["position"],
            "lag": peer["lag_bytes"],
        }
    assert (
        page.run("return document.querySelector('.streams svg').getAttribute('aria-label')").count("streams to")
        == 2
    )
    shown_names = (
        "return [...document.querySelectorAll('.streams .name, .streams .note')].map((e) => e.textContent)"
    )
    assert not any("…" in name for name in page.run(shown_names))  # there is room
    shown.picture("page-light.png")
    shown.picture("page-dark.png", scheme="dark")
    page.show_as(1200, 900, "light")
    berlin.kill()
    until(lambda: shown.peer_state("berlin") == "away")
    assert page.until("document.querySelector('#problems-list li[data-kind=peer_away]')?.textContent")
    shown.picture("page-follower-down.png")
    page.show_as(1200, 900, "light")
    berlin.start()
    until(lambda: shown.peer_state("berlin") == "streaming")
    page.until("document.querySelectorAll('#problems-list li').length === 0")
    assert page.console() == []


def test_a_follower_whose_copy_is_locked(make: Start, page: Page, ports: Callable[[], int]) -> None:
    """It says so, with the reason; its values are those of the status; a phone and a keyboard will do."""
    master = make("master", "master", "--listen", LOCAL).start()
    with tempfile.TemporaryDirectory(prefix="notes-") as folder:  # the picture shows it
        copy = Server(Path(folder), "copy", "follower", "--master", f"127.0.0.1:{master.port()}")
        try:
            _lock(master, copy, page, served(copy, ports()))
        finally:
            copy.clean_up()


def _lock(master: Server, copy: Server, page: Page, url: str) -> None:
    copy.start()
    position = master.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    copy.wait(position)
    shown = Shown(page, copy, url)
    until(lambda: shown.value("positions.applied") == position)
    status = copy.status()
    for name in ("source", "received", "durable", "applied"):
        assert shown.value(f"positions.{name}") == status["positions"][name] == position
    assert shown.value("lag.bytes") == status["lag"]["bytes"] == 0
    assert shown.value("lag.seconds") == status["lag"]["seconds"] == 0
    assert shown.value("statements") == status["statements"]
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE'); input()"
    holder = subprocess.Popen([sys.executable, "-c", code, str(copy.database)], stdin=subprocess.PIPE)
    try:
        until(lambda: _locked(copy.database))
        more = master.execute("INSERT INTO t VALUES (2)")
        said = page.until("document.querySelector('#problems-list li[data-kind=delayed]')?.textContent")
        assert "another program holds its lock" in said
        assert shown.value("state") == "delayed"
        until(lambda: shown.value("lag.bytes") == more - position)
        assert page.run("return document.title").startswith("(1)")
        page.show_as(390, 800, "light", phone=True)
        page.laid_out()
        assert page.run("return document.documentElement.scrollWidth") <= 390
        drawing = "return document.querySelector('.streams svg').viewBox.baseVal.width"
        assert page.run(drawing) == page.run("return document.querySelector('.streams svg').clientWidth") < 390
        shown.picture("page-phone.png", width=390, phone=True)
    finally:
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()
    page.until("document.querySelectorAll('#problems-list li').length === 0")
    assert page.console() == []
    by_keyboard(page)
    for_screen_readers(page)


def _locked(database: Path) -> bool:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try: c.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError: sys.exit(1)"
    )
    return subprocess.run([sys.executable, "-c", code, str(database)]).returncode == 1


def by_keyboard(page: Page) -> None:
    """Everything that can be operated is reached with the tabulator, and shows that it is."""
    page.show_as(1200, 900, "light")
    page.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached = []
    for _ in range(8):
        page.press(TAB)
        reached.append(
            page.run(
                "const e = document.activeElement; return [e.id || e.className || e.getAttribute('href'),"
                "getComputedStyle(e).outlineStyle]"
            )
        )
    names = [name for name, _ in reached]
    assert names[:3] == ["skip", "theme", "scroll"]
    assert {"status", "metrics", "readyz"} <= set(names)
    assert all(style != "none" for _, style in reached[:6])
    page.run("document.getElementById('theme').focus()")
    page.press(ENTER)
    page.press(ENTER)
    assert page.run("return document.documentElement.dataset.theme") == "dark"
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(15, 19, 25)"
    page.press(ENTER)


def for_screen_readers(page: Page) -> None:
    """What is drawn has a name, and so have tables, regions and headings."""
    page.devtools("Accessibility.enable")
    nodes = page.devtools("Accessibility.getFullAXTree")["nodes"]
    found = [
        (node.get("role", {}).get("value"), node.get("name", {}).get("value", ""))
        for node in nodes
        if not node.get("ignored")
    ]
    for role in ("image", "region", "heading", "button", "link"):
        names = [name for kind, name in found if kind == role]
        assert names, (role, found)
        assert all(names), (role, names)
    assert ("button", "Theme: system") in found
    assert any(kind in ("status", "log") for kind, _ in found)
    page.devtools("Accessibility.disable")


class Tap:
    """A proxy that lets so many bytes of an answer through, and then holds the rest back until it is opened."""

    def __init__(self, port: int, most: int) -> None:
        self._target, self._most, self._open = port, most, False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._ends:
            end.close()

    def open(self) -> None:
        self._open = True

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed, or the master has ended
            while True:
                near, _ = self._listener.accept()
                self._ends.append(near)
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends.append(far)
                for ends in ((near, far, False), (far, near, True)):
                    self._threads.append(Thread(target=self._pass, args=ends))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket, held: bool) -> None:
        passed = 0
        with suppress(OSError):
            while True:
                while held and not self._open and passed >= self._most:
                    time.sleep(0.02)
                room = self._most - passed if held and not self._open else 65536
                data = source.recv(min(65536, room))
                if not data:
                    return
                target.sendall(data)
                passed += len(data)


def test_a_bootstrap_at_forty_per_cent(make: Start, page: Page, ports: Callable[[], int]) -> None:
    master = make("master", "master", "--listen", LOCAL).start()
    master.execute(
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)", "INSERT INTO t VALUES (1, randomblob(3000000))"
    )
    with Tap(master.port(), 1_220_000) as tap:
        _watch_a_bootstrap(make, page, tap, ports())


def _watch_a_bootstrap(make: Start, page: Page, tap: Tap, port: int) -> None:
    copy = make("copy", "follower", "--master", f"127.0.0.1:{tap.port}")
    url = served(copy, port)
    copy.launch()
    until(lambda: copy.answers() and (copy.status()["bootstrap"] or {}).get("received", 0) > 1_000_000)
    shown = Shown(page, copy, url)
    found = page.until("document.querySelector('progress')?.value")
    bootstrap = copy.status()["bootstrap"]
    assert found == bootstrap["received"]
    assert page.run("return document.querySelector('progress').max") == bootstrap["length"]
    assert shown.value("state") == "bootstrapping"
    assert 0.35 < bootstrap["received"] / bootstrap["length"] < 0.45
    assert "40 %" in page.run("return document.querySelector('.bars label').textContent")
    shown.picture("page-bootstrap.png")
    page.show_as(1200, 900, "light")
    tap.open()
    until(lambda: shown.value("state") == "streaming")
    page.until("document.querySelector('.progress').hidden")
    assert page.console() == []
    copy.kill()


ROLES = """
[process]
http = "127.0.0.1:{0}"
[[master]]
name = "gone <b>&amp;"
db = "gone.db"
listen = "unix:{1}/gone"
[[master]]
name = "stays"
db = "stays.db"
listen = "unix:{1}/stays"
peer = ["<b>lab</b>=10.1.2.3"]
"""


def test_roles_that_are_stopped_are_shown_no_more(tmp_path: Path, page: Page, ports: Callable[[], int]) -> None:
    """SIGHUP takes a role away, and its place on the page; names are text; a new process is seen again."""
    port = ports()
    file = tmp_path / "c.toml"
    file.write_text(ROLES.format(port, tmp_path))
    url = f"http://127.0.0.1:{port}/"
    titles = "return [...document.querySelectorAll('.role .title')].map((e) => e.textContent)"

    def started() -> subprocess.Popen[bytes]:
        with (tmp_path / "output").open("ab") as output:
            return subprocess.Popen(RUN, cwd=tmp_path, stdout=output, stderr=output, env=environment())

    process = started()
    try:
        until(lambda: answers(url), (tmp_path / "output").read_text)
        page.show_as(1200, 900, "light")
        page.open(url)
        page.until("document.body.dataset.shown")
        page.console()
        assert page.run(titles) == ["master gone <b>&amp;", "master stays"]
        assert page.run("return document.querySelectorAll('#roles b, #roles img').length") == 0
        assert page.until("document.querySelector('#problems-list li[data-kind=peer_away]')?.textContent") == (
            "peer awaystays: <b>lab</b>, which is expected, has not been connected since this server was started"
        )
        before, _, after = file.read_text().partition("[[master]]")
        file.write_text(before + after.partition("[[master]]")[1] + after.partition("[[master]]")[2])
        process.send_signal(signal.SIGHUP)
        page.until("document.querySelectorAll('.role').length === 1")
        assert page.run(titles) == ["master stays"]
        assert page.console() == []
        process.kill()
        process.wait()
        page.until("document.getElementById('connection').dataset.state === 'lost'")
        assert page.run("return document.body.classList.contains('stale')")
        process = started()
        page.until("document.getElementById('connection').dataset.state === 'live'")
        assert page.run(titles) == ["master stays"]
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return ask(StatusAddress.parse(url), "/status")[0] == 200
    except ServerUnreachable:
        return False


def test_the_scripts_are_those_of_the_page() -> None:
    """No build step: what stands in the package is what the browser gets; Node.js, where it is, can read it."""
    folder = Path(__file__).parent.parent.parent / "spgrepl" / "watch" / "page"
    assert sorted(path.name for path in folder.iterdir()) == ["page.css", "page.html", "page.js"]
    if shutil.which("node"):
        subprocess.run(["node", "--check", str(folder / "page.js")], check=True, timeout=60)

"""The commands and programs in documents, run as they stand there, in one folder, print what is shown.

Only ports differ from the text, each always by the same other one, and so does the name of an SPG server: a master
that serves the files of one stands in for it. Lines that begin with ``$ twistd`` start servers, which go on to the
end. After each other command comes what it prints.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from spgrepl import cli
from tests.end_to_end.conftest import TWISTD, until
from tests.test_site import generated

ROOT = Path(__file__).parent.parent.parent
STORAGE = ROOT / "tests" / "vectors" / "storage"
SPG_SERVER = "spg.example.org:7433"
STAND_IN = "127.0.0.1:7435"
PORTS = re.compile(r"(127\.0\.0\.1:|127\.0\.0\.1 port=|tcp:)(\d+)")
SETTLES = ("spgrepl segments ls", "spgrepl compare", "spgrepl status")
"""What is asked of servers that may not be done yet."""


@attrs.frozen
class Entry:
    """Something to run.

    Attributes:
        line: Where it stands.
        text: A command, or a program.
        expected: What it prints.
    """

    line: int
    text: str
    expected: str
    is_program: bool = False
    is_test: bool = False

    @property
    def is_server(self) -> bool:
        return self.text.startswith("twistd ")


def entries(document: str) -> Iterator[Entry]:
    """What there is to run in a document, in its order."""
    blocks = list(re.finditer(r"^```(console|python|text)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL))
    for number, block in enumerate(blocks):
        first = document.count("\n", 0, block.start()) + 2
        if block[1] == "python":
            if re.search(r"^ *(async )?def test_", block[2], re.MULTILINE):
                yield Entry(first, block[2], "", is_test=True)
                continue
            following = blocks[number + 1]
            assert following[1] == "text", f"line {first}: no output follows the program"
            yield Entry(first, block[2], following[2], is_program=True)
        elif block[1] == "console":
            for one in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block[2], re.MULTILINE):
                yield Entry(first + block[2].count("\n", 0, one.start()), one[1], one[2])


class Folder:
    """The folder in which a document's commands are run.

    Args:
        path: The folder.
        stack: Ends what was started.
    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self._stack = stack
        self._servers: list[subprocess.Popen[bytes]] = []
        self._ports: dict[str, str] = {}
        programs = path / "bin"
        programs.mkdir()
        for name, words in (("spgrepl", ["-m", "spgrepl"]), ("twistd", ["-c", TWISTD])):
            script = programs / name
            script.write_text(
                f"#!{sys.executable}\nimport os, sys\n"
                f"os.execv(sys.executable, [sys.executable, *{words!r}, *sys.argv[1:]])\n"
            )
            script.chmod(0o755)
        self._environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONUTF8": "1"}

    def run(self, entry: Entry) -> None:
        """Run something, and compare what it prints."""
        text = self._here(entry.text)
        if entry.is_server:
            self._serve(text)
            return
        if entry.is_test:
            self._test(entry)
            return
        if entry.text.startswith("kill "):
            self._stop(text)
            return
        command = [sys.executable, "-c", text] if entry.is_program else ["sh", "-c", text]
        printed: list[str] = []

        def fits() -> bool:
            done = subprocess.run(
                command, cwd=self.path, env=self._environment, capture_output=True, text=True, timeout=60
            )
            printed[:] = [done.stdout, done.stderr]
            return done.returncode == 0 and done.stdout == entry.expected

        if entry.text.startswith(SETTLES):
            until(fits, lambda: printed)
        else:
            assert fits(), f"line {entry.line}: {entry.text}\n{printed[0]}{printed[1]}"

    def _here(self, text: str) -> str:
        """The text with the ports that are used here."""
        return PORTS.sub(self._port, text.replace(SPG_SERVER, STAND_IN))

    def _port(self, found: re.Match[str]) -> str:
        if found[2] not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[found[2]] = str(probe.getsockname()[1])
        return found[1] + self._ports[found[2]]

    def _serve(self, command: str) -> None:
        log = self.path / f"log-{len(list(self.path.glob('log-*')))}"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], cwd=self.path, env=self._environment, stdout=output, stderr=output
            )
        self._servers.append(server)
        self._stack.callback(self._end, server, log)
        # A command that follows may ask the server at once.
        ready = "serving followers" if " master " in command else "reactor class"
        if "--http" in command:
            ready = "status and waiting are served"
        until(lambda: ready in log.read_text() or server.poll() is not None, log.read_text)

    def _test(self, entry: Entry) -> None:
        """Run the tests that a document shows, by the runner that fits."""
        name = f"test_line_{entry.line}"
        (self.path / f"{name}.py").write_text(entry.text)
        runner = (
            ["twisted.trial", name]
            if "TestCase" in entry.text
            else ["pytest", "-q", "-p", "no:xdist", f"{name}.py"]
        )
        environment = {**self._environment, "PYTHONPATH": str(self.path)}
        command = [sys.executable, "-m", *runner]
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"line {entry.line}\n{done.stdout}{done.stderr}"
        assert re.search("1 passed|PASSED .successes=1", done.stdout), done.stdout

    def _stop(self, command: str) -> None:
        """Run a command that ends a server, and wait for that."""
        subprocess.run(["sh", "-c", command], cwd=self.path, check=True, timeout=60)
        until(lambda: any(one.poll() is not None for one in self._servers), lambda: "no server has ended")
        self._servers = [one for one in self._servers if one.poll() is None]

    def _end(self, server: subprocess.Popen[bytes], log: Path) -> None:
        ended = server.poll()
        if server in self._servers:  # nobody has stopped it
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=60)
            assert ended is None, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()


PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if path.with_suffix("") not in {ROOT / "docs" / name for name in generated.PAGES}
)
RUN = [page for page in PAGES if list(entries((ROOT / page).read_text("utf-8")))]
LEAST = {
    "README.md": 6,
    "docs/tour.md": 20,
    "docs/tutorial.md": 12,
    "docs/operating.md": 6,
    "docs/failover.md": 20,
}


def test_pages_that_have_commands_are_run() -> None:
    assert set(LEAST) <= set(RUN)
    assert sum(page.startswith("docs/howto/") for page in RUN) >= 6


@pytest.mark.parametrize("document", RUN)
def test_a_document_can_be_typed(document: str, tmp_path: Path) -> None:
    """Some begin with the files of an SPG server in the folder."""
    (tmp_path / "spg.spg" / "segments").mkdir(parents=True)
    shutil.copy(STORAGE / "d_v11.catalog", tmp_path / "spg.db")
    shutil.copy(STORAGE / "d_v1.seg", tmp_path / "spg.spg" / "segments" / "seg_0.spg")
    (tmp_path / "spg.wal").touch()
    found = list(entries((ROOT / document).read_text("utf-8")))
    if any("openssl" in one.text for one in found) and shutil.which("openssl") is None:
        pytest.skip("there is no openssl command to make certificates with")
    assert len(found) >= LEAST.get(document, 1)
    with ExitStack() as stack:
        folder = Folder(tmp_path, stack)
        for entry in found:
            folder.run(entry)


COMMANDS = re.compile(r"^(\$ |\.venv/bin/|spgrepl |twistd |pip |python|psql |systemctl )", re.MULTILINE)
ELSEWHERE = {
    "docs/benchmarks.md": "they measure, which takes long",
    "docs/fuzzing.md": "they search, which takes long; .ci/run does a part",
}
"""Pages whose commands are run by hand, or by something else, and why."""


@pytest.mark.parametrize("document", PAGES)
def test_no_command_is_left_out(document: str) -> None:
    """What looks like a command stands in a block that is run, is marked as run elsewhere, or can be parsed."""
    text = (ROOT / document).read_text("utf-8")
    for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        marked = re.search(r"<!-- \w+ commands? -->\n$", text[: block.start()])
        if block[1] in ("console", "python") or marked or document in ELSEWHERE:
            continue
        for line in block[2].splitlines():
            if COMMANDS.match(line):
                assert_understood(line)


def assert_understood(line: str) -> None:
    """A command line that is only shown has options that there are."""
    words = shlex.split(line, comments=True)
    if "spgrepl" not in words[:-1] or words[0] in ("pip", "systemctl"):
        return
    if words[0] == "spgrepl":
        name, *rest = words[1:]
        known = next(parser for shown, parser in generated.commands() if shown == f"spgrepl {name}")
        known.parse_args(rest)
        return
    role, *rest = words[words.index("spgrepl") + 1 :]
    options = generated.ROLES[role]()
    given = {word.partition("=")[0].removeprefix("--") for word in rest if word.startswith("--")}
    assert given <= {long.removesuffix("=") for long in options.longOpt}, line


TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIGURATIONS = [(page, text) for page in PAGES for text in TOML.findall((ROOT / page).read_text("utf-8"))]


@pytest.mark.parametrize(("page", "text"), CONFIGURATIONS)
def test_a_configuration_can_be_used(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "spgrepl.toml"
    file.write_text(text.replace("/var/lib/spgrepl", str(tmp_path)))
    assert cli.main(["config", "check", str(file)]) == 0

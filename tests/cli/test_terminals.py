"""Every command and role on terminals, locales and pipes that take less than Unicode; names that are not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spgrepl.text.terminal import plain
from tests.end_to_end.conftest import TWISTD

ASCII = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMANDS = [[], ["demo"], ["exec"], ["wal"], ["wal", "verify"], ["wal", "cat"], ["segments"], ["segments", "cat"],
            ["snapshot"], ["snapshot", "export"], ["filter-test"], ["wait"], ["compare"]]  # fmt: skip

IN_ONE_PROCESS = """
import json, sys
from spgrepl.cli import main
for words in json.loads(sys.argv[1]):
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    print(f"\\0{code}\\0", flush=True)
    print("\\0", file=sys.stderr, flush=True)
"""


def run(*command: object, cwd: Path | bytes | None = None, env: dict[str, str] | None = None, **more: object):
    return subprocess.run(
        [*map(_word, command)],
        cwd=cwd, env={**os.environ, **(ASCII if env is None else env)}, capture_output=True, timeout=60, **more,
    )  # fmt: skip


def _word(word: object) -> bytes:
    return word if isinstance(word, bytes) else str(word).encode()


SPGREPL = (sys.executable, "-m", "spgrepl")


def run_all(commands: list[list[bytes]], env: dict[str, str], cwd: bytes | None = None) -> list[tuple[int, str]]:
    """Run commands, in one process; the exit code of each, and what it wrote to standard error."""
    words = json.dumps([[word.decode("utf-8", "surrogateescape") for word in command] for command in commands])
    done = run(sys.executable, "-c", IN_ONE_PROCESS, words, env=env, cwd=cwd)
    assert done.returncode == 0, done
    codes = done.stdout.decode().split("\0")[1::2]
    return [
        (int(code), err.lstrip("\n")) for code, err in zip(codes, done.stderr.decode().split("\0"), strict=False)
    ]


def test_the_help_of_every_command_in_ascii() -> None:
    commands = [[*(word.encode() for word in command), b"--help"] for command in COMMANDS]
    assert run_all(commands, ASCII) == [(0, "")] * len(COMMANDS)
    shown = run(*SPGREPL, "exec", "--help").stdout
    assert b"BEGIN ... COMMIT" in shown
    assert b"\\u" not in shown


@pytest.mark.parametrize("role", [[], ["subscriber"]])
def test_the_help_of_servers_in_ascii(role: list[str]) -> None:
    done = run(sys.executable, "-c", TWISTD, "spgrepl", *role, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u" not in done.stdout
    assert b"Usage: twistd" in done.stdout


def test_rows_in_ascii(tmp_path: Path) -> None:
    sql = "CREATE TABLE t (\u00e9 TEXT); INSERT INTO t VALUES ('\u00e9\u4e2d\U0001f600'); SELECT * FROM t"
    done = run(*SPGREPL, "exec", "--db", tmp_path / "a.db", "-f", "-", input=sql.encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\xe9\\u4e2d\\U0001f600" in done.stdout
    lines = run(*SPGREPL, "wal", "cat", "--json", tmp_path / "a.wal").stdout.splitlines()
    texts = [json.loads(line).get("sql") or "" for line in lines]
    assert any("\u00e9\u4e2d\U0001f600" in text for text in texts)
    failed = run(*SPGREPL, "exec", "--db", tmp_path / "a.db", "SELECT \u00e9\u00e9")
    assert failed.returncode == 65
    assert b"Traceback" not in failed.stderr


def test_sql_that_is_not_utf8_from_a_pipe(tmp_path: Path) -> None:
    done = run(*SPGREPL, "exec", "--db", tmp_path / "a.db", "-f", "-", input=b"CREATE TABLE t (a);\nSELECT '\xe9'")
    assert done.returncode == 65
    assert b"statement 2 failed" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    command = f"{' '.join(SPGREPL)} exec --db a.db 'CREATE TABLE t (a)' {closed}"
    done = run("sh", "-c", command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    read = run("sh", "-c", f"{' '.join(SPGREPL)} exec --db a.db <&-", cwd=tmp_path)
    assert read.returncode == 64
    assert b"standard input is closed" in read.stderr


def test_a_reader_that_has_enough_and_a_full_disk(tmp_path: Path) -> None:
    spgrepl = " ".join(SPGREPL)
    for command in (f"{spgrepl} exec --help | head -n 1", f"({spgrepl} fly 2>&1) | head -n 1"):
        done = run("sh", "-c", command)
        assert (done.returncode, done.stderr) == (0, b"")
    done = run("sh", "-c", f"{spgrepl} exec --help > /dev/full")
    assert done.returncode == 74
    assert done.stderr == b"spgrepl: [Errno 28] No space left on device\n"


# -- names that are not UTF-8 ---------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> bytes:
    """A folder whose name is not UTF-8."""
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    return folder


def one_line(done: subprocess.CompletedProcess[bytes], code: int) -> bytes:
    assert done.returncode == code, done
    assert done.stderr.count(b"\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("env", [{}, ASCII], ids=["as it is", "ascii"])
def test_commands_in_a_folder_that_is_not_utf8(odd: bytes, tmp_path: Path, env: dict[str, str]) -> None:
    """What needs SQLite is refused in one line, the rest works."""
    assert run(*SPGREPL, "exec", "--db", tmp_path / "a.db", "CREATE TABLE t (a)", env={}).returncode == 0
    for name in ("a.db", "a.wal"):
        os.rename(tmp_path / name, odd + b"/" + name.encode())
    db, wal, segments = odd + b"/a.db", odd + b"/a.wal", odd + b"/segments"
    os.mkdir(segments)
    refused = [
        [b"exec", b"--db", db, b"SELECT 1"],
        [b"exec", b"--db", b"a.db", b"SELECT 1"],
        [b"compare", db, db],
        [b"snapshot", b"show", db],
        [b"filter-test", b"--all-tables", b"--wal", wal, b"--db", db],
    ]
    for code, err in run_all(refused, env, cwd=odd):
        assert (code, err.count("\n"), "is not UTF-8" in err) == (64, 1, True), err
    works = [
        [b"wal", b"verify", wal],
        [b"wal", b"cat", wal],
        [b"filter-test", b"--all-tables", b"--wal", wal],
        [b"segments", b"ls", segments],
    ]
    assert run_all(works, env) == [(0, "")] * len(works)
    missing = [[b"wait", b"--http", b"unix:" + odd + b"/none", b"1"], [b"wal", b"verify", odd + b"/none"]]
    assert [(code, err.count("\n")) for code, err in run_all(missing, env)] == [(69, 1), (66, 1)]


@pytest.mark.parametrize(
    "role",
    [
        "master --listen unix:x",
        "follower --master unix:x",
        "subscriber --master unix:x --name n --all-tables",
    ],
)
def test_servers_in_a_folder_that_is_not_utf8(odd: bytes, role: str) -> None:
    done = run(sys.executable, "-c", TWISTD, "-n", "--pidfile=", "spgrepl", *role.split(), "--db", odd + b"/a.db")
    assert done.returncode == 64
    assert b"Traceback" not in done.stderr
    assert b"is not UTF-8" in done.stderr
    assert os.listdir(odd) == []


def test_letters_that_the_locale_does_not_know(tmp_path: Path) -> None:
    """The name is UTF-8, but Python reads it as something else: the cure is another locale."""
    said = one_line(run(*SPGREPL, "exec", "--db", tmp_path / "\u00e9.db", "CREATE TABLE t (a)"), 64)
    assert b"set LC_ALL=C.UTF-8" in said
    assert run(*SPGREPL, "exec", "--db", tmp_path / "\u00e9.db", "CREATE TABLE t (a)", env={}).returncode == 0


def test_what_a_terminal_shows_stays_as_it_is() -> None:
    class Utf8:
        encoding = "utf-8"

    class Ascii:
        encoding = "ascii"

    assert plain("BEGIN … COMMIT é", Utf8()) == "BEGIN … COMMIT é"  # type: ignore[arg-type]
    assert plain("BEGIN … COMMIT é", Ascii()) == "BEGIN ... COMMIT é"  # type: ignore[arg-type]

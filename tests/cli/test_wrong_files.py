"""Every option of every command that takes a file, with files that are something else."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from spgrepl.cli import main
from spgrepl.disk.files import DatabasePaths
from spgrepl.pairs.pair import Pair, write_pair
from tests.replica.following.copies import log_of
from tests.spg.samples import VECTORS
from tests.wrong_files import KINDS, SQLITE, looks, make_files, names

DATABASES = (*SQLITE, "empty", "other.db")
LOGS = ("empty", "other.wal")

READS: dict[str, tuple[str, tuple[str, ...]]] = {
    "exec, query": ("exec --db {} 'SELECT 1'", DATABASES),
    "exec, token": (
        "exec --http 127.0.0.1:1 --http-token-file {} 'SET effective_wal_level = replica'",
        ("diary.txt",),
    ),
    "wal verify": ("wal verify {}", LOGS),
    "wal cat": ("wal cat {}", LOGS),
    "compare, first": ("compare {} mine.db", DATABASES),
    "compare, second": ("compare mine.db {}", DATABASES),
    "compare --pinned, first": ("compare --pinned {} mine.db", ()),
    "compare --pinned, second": ("compare --pinned mine.db {}", ()),
    "compare --repair": ("compare --pinned --repair {} mine.db mine.db", ()),
    "segments verify": ("segments verify {}", ("folder",)),
    "segments ls": ("segments ls {}", ("folder",)),
    "segments cat": ("segments cat --table t --snapshot spg.snapshot {}", ()),
    "segments cat --snapshot": ("segments cat --table t --snapshot {} seg_1.spg", ()),
    "snapshot show": ("snapshot show {}", (*SQLITE, "other.db")),
    "snapshot export --segments": (
        "snapshot export spg.snapshot --segments {} --to sqlite:gone/exported",
        ("folder",),
    ),
    "snapshot export --to": ("snapshot export spg.snapshot --to sqlite:{}", ()),
    "snapshot export of a database --to": ("snapshot export mine.db --to sqlite:{}", ()),
    "filter-test --wal": ("filter-test --all-tables --wal {}", LOGS),
    "filter-test --db": ("filter-test --wal mine.wal --publication p --db {}", ()),
    "config check": ("config check {}", ()),
}
"""What reads: the words, and which kinds it can read. Whatever it is given, nothing is changed."""

WRITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "exec": ("exec --db {} 'CREATE TABLE x (a)'", DATABASES),
    "exec --create": ("exec --create --db {}", DATABASES),
    "exec --new-log": ("exec --new-log --db {} 'SELECT 1'", ()),
    "exec --rebuild": ("exec --rebuild --db {} 'SELECT 1'", ()),
    "exec --wal": ("exec --db mine.db --wal {} 'CREATE TABLE x (a)'", ()),
    "exec --new-log --wal": ("exec --new-log --db mine.db --wal {} 'CREATE TABLE x (a)'", ("empty",)),
    "exec of a new database --wal": ("exec --db fresh.db --wal {} 'CREATE TABLE x (a)'", ("empty",)),
    "exec --create --wal": ("exec --create --db fresh.db --wal {}", ("empty",)),
    "exec --rebuild --wal": ("exec --rebuild --db fresh.db --wal {} 'SELECT 1'", ("empty",)),
    "exec --file": ("exec --db mine.db --file {}", ("diary.txt", "empty", "pipe", "/dev/null")),
    "snapshot export": ("snapshot export {} --to sqlite:exported", (*SQLITE, "other.db")),
    "promote": ("promote --db {}", ()),
    "promote --force": ("promote --force --db {}", ()),
    "promote --wal": ("promote --force --db copy.db --wal {}", ()),
    "follow": ("follow --http {server} --db {}", ("other.db",)),
    "follow --wal": ("follow --http {server} --db mine.db --wal {}", ()),
    "drain": ("drain --db {}", ("other.db",)),
    "drain --undo": ("drain --undo --db {}", ("other.db",)),
    "drain --wal": ("drain --db mine.db --wal {}", ()),
    "skip": ("skip 5 0badcafe --db {}", ()),
    "skip --wal": ("skip 5 0badcafe --db mine.db --wal {}", ()),
}
"""What writes: the words, and what it may write into. Whatever else it is given stays as it is."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of all kinds, in which the commands run."""
    make_files(tmp_path)
    shutil.copy(VECTORS / "a_v8.catalog", tmp_path / "spg.snapshot")
    shutil.copy(VECTORS / "e_v1_600.seg", tmp_path / "seg_1.spg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class _Primary(BaseHTTPRequestHandler):
    """Says what a new primary that nothing is known of says."""

    def do_GET(self) -> None:
        content = b'{"role": "master", "histories": [], "positions": {"durable": 0}}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def primary() -> Iterator[str]:
    """The address of a new primary, for those who are to follow it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Primary) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(words: str, kind: str, primary: str) -> int:
    """Run a command, with a file in the place of the braces; one that waits for a pipe fails."""
    before = signal.signal(signal.SIGALRM, _waits)
    signal.alarm(60)
    try:
        return main([word.replace("{}", kind).replace("{server}", primary) for word in shlex.split(words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _waits(*_: object) -> None:
    raise AssertionError("it waits for ever")


@pytest.mark.parametrize("case", [*READS, *WRITES])
def test_what_is_something_else_is_named_and_stays(
    folder: Path, case: str, primary: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, fits = (READS | WRITES)[case]
    for kind in KINDS:
        if kind in fits and case in WRITES:
            continue
        before = looks(folder)
        code = run(words, kind, primary)
        said = capsys.readouterr().err
        assert looks(folder) == before, kind
        assert "Traceback" not in said
        if kind not in fits:
            assert code, (kind, said)
            assert names(kind, said), (kind, said)


@pytest.mark.parametrize(
    "suffix", ["pair", "cluster_id", "durable", "left", "level", "learned", "subscriptions", "applied_pos", "lock"]
)
def test_a_pipe_where_a_file_of_ours_belongs_is_waited_for_by_nobody(
    folder: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sidecar = folder / f"mine.wal.{suffix}"
    sidecar.unlink(missing_ok=True)
    os.mkfifo(sidecar)
    code = run("exec --db mine.db 'INSERT INTO t VALUES (7)'", "", "")
    said = capsys.readouterr().err
    assert code == 0 or sidecar.name in said
    assert "Traceback" not in said


def test_a_pipe_where_a_manifest_belongs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.spg" / "segments").mkdir(parents=True)
    os.mkfifo(folder / "mine.spg" / "manifest.v10")
    assert run("segments verify mine.spg", "", "") == 65
    assert "manifest.v10" in capsys.readouterr().err


OF_ANOTHER_ENGINE = (
    "exec --db copy.db 'SELECT 1'",
    "exec --db copy.db 'CREATE TABLE x (a)'",
    "exec --db copy.db --foreign-keys on",
    "exec --db copy.db 'WAIT FOR WAL POSITION 5' 'SELECT 1'",
    "exec --create --db copy.db",
    "exec --new-log --db copy.db",
    "exec --rebuild --db copy.db",
    "promote --db copy.db",
    "promote --force --db copy.db",
    "follow --http {server} --db copy.db",
    "drain --db copy.db",
    "drain --undo --db copy.db",
)
"""What opens a database beside its log."""


@pytest.mark.parametrize("engine", ["postgresql", "archive", "counting"])
@pytest.mark.parametrize("log", [b"", log_of("CREATE TABLE t (a)")], ids=["empty", "some"])
def test_files_of_a_copy_that_another_engine_keeps(
    tmp_path: Path,
    engine: str,
    log: bytes,
    primary: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty log, or one that tells all of a database, would do for a primary's as well."""
    monkeypatch.chdir(tmp_path)
    paths = DatabasePaths.of(tmp_path / "copy.db")
    paths.wal.write_bytes(log)
    write_pair(paths.pair, Pair("ab" * 16, paths.database, copied_by=engine))
    if engine == "archive":
        shutil.copy(VECTORS.parent / "snapshot.bin", paths.database)
    before = looks(tmp_path)
    for words in OF_ANOTHER_ENGINE:
        assert run(words, "", primary) == 78, words
        said = capsys.readouterr().err
        assert "copy.wal is the log of a" in said
        assert "with its --engine" in said
        assert "--rebuild" not in said
        assert looks(tmp_path) == before, words

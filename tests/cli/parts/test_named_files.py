"""Files that are not what a command takes them for: said by what they look like, and left alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.cli import main
from spgrepl.log.format.records import RecordType, encode_v3

RECORD = encode_v3(RecordType.SQL, b"INSERT INTO t VALUES (1)")
CONTENTS = {
    'an SPG snapshot ("SPGENV01")': b"SPGENV01" + bytes(range(100)),
    'an SPG snapshot ("SPGDB001")': b"SPGDB001" + bytes(range(100)),
    'an SPG cold segment ("SPGSEG")': b"SPGSEG\x03\0" + bytes(range(100)),
    'an SPG manifest ("SPGMAN01")': b"SPGMAN01\x0a" + bytes(range(100)),
    "a text file": b"Dear diary,\n",
    "a file of zero bytes only": bytes(5000),
    "the write-ahead log of a SQLite database": b"\x37\x7f\x06\x82" + bytes(range(100)),
    "a file of an unknown format": b"\x89PNG\r\n\x1a\n" + bytes(range(100)),
}


@pytest.fixture(params=[*CONTENTS, "a SQLite database", "a folder"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    """A file that is not a log, and what it looks like."""
    path = tmp_path / "it.file"
    if request.param == "a folder":
        path.mkdir()
    elif request.param == "a SQLite database":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (a)")
    else:
        path.write_bytes(CONTENTS[request.param])
    return path, request.param


def content(path: Path) -> bytes | None:
    return None if path.is_dir() else path.read_bytes()


@pytest.mark.parametrize(
    "words",
    [("wal", "verify"), ("wal", "cat"), ("wal", "cat", "--json"), ("filter-test", "--all-tables", "--wal")],
)
def test_what_is_not_a_log(
    words: tuple[str, ...], other: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, kind = other
    before = content(path)
    assert main([*words, str(path)]) == 65
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"spgrepl: {path} is not a log: it is {kind}; ")
    assert err.count("\n") == 1
    assert not {"truncate", "remove", "delete", "move"} & set(err.split())
    assert content(path) == before


@pytest.mark.parametrize(
    "words",
    [
        ("compare", "IT", "FINE"),
        ("compare", "FINE", "IT"),
        ("exec", "--db", "IT", "SELECT 1"),
        ("filter-test", "--all-tables", "--wal", "LOG", "--db", "IT"),
    ],
)
def test_what_is_not_a_database(
    words: tuple[str, ...], other: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, kind = other
    if kind == "a SQLite database":
        return
    before = content(path)
    names = {"IT": path, "FINE": path.with_name("fine.db"), "LOG": path.with_name("log.wal")}
    with closing(sqlite3.connect(names["FINE"])) as connection:
        connection.execute("CREATE TABLE t (a)")
    names["LOG"].write_bytes(RECORD)
    assert main([str(names.get(word, word)) for word in words]) == 65
    assert f"{path} is not a SQLite database: it is {kind}" in capsys.readouterr().err
    assert content(path) == before


@pytest.mark.parametrize("words", [("exec", "--db", "IT"), ("exec", "--db", "FINE", "--wal", "IT")])
def test_what_cannot_be_written_stays_as_it_is(
    words: tuple[str, ...], other: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path, kind = other
    if kind == "a SQLite database" and words == ("exec", "--db", "IT"):
        return
    before = content(path)
    names = {"IT": path, "FINE": path.with_name("fine.db")}
    assert main([*(str(names.get(word, word)) for word in words), "CREATE TABLE x (a)"]) in (64, 65, 74, 75, 78)
    assert "Traceback" not in capsys.readouterr().err
    assert content(path) == before


def test_a_script_that_is_not_sql(
    other: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, kind = other
    if kind in ("a text file", "a file of an unknown format"):
        return
    assert main(["exec", "--db", str(tmp_path / "a.db"), "-f", str(path)]) == 64
    assert f"{path} does not hold SQL: it is {kind}" in capsys.readouterr().err
    assert not (tmp_path / "a.db").exists()


def test_waiting_for_a_position_that_nothing_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.db").write_bytes(b"SPGENV01" + bytes(100))
    assert main(["exec", "--db", str(tmp_path / "a.db"), "WAIT FOR WAL POSITION 1"]) == 78
    assert "a.db (an SPG snapshot) nor" in capsys.readouterr().err


def test_an_empty_log_is_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A primary that has not written anything has one."""
    (tmp_path / "a.wal").touch()
    assert main(["wal", "verify", str(tmp_path / "a.wal")]) == 0
    assert "whole\n" in capsys.readouterr().out


def test_a_log_of_one_torn_record_is_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.wal").write_bytes(RECORD[:20])
    assert main(["wal", "verify", str(tmp_path / "a.wal")]) == 65
    assert "No record is whole in it" in capsys.readouterr().err

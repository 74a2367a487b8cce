"""Tests for what a file is said to look like."""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.log.file_kinds import FileKind, what_it_looks_like
from spgrepl.log.format.records import encode_statement, encode_v1, encode_v2

_VECTORS = Path(__file__).parent.parent / "vectors"
_RECORD = encode_v2(b"CREATE TABLE t(a)")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", FileKind.EMPTY),
        (_RECORD, FileKind.LOG),
        (encode_statement(b"INSERT INTO t VALUES(1)"), FileKind.LOG),
        (encode_statement(b"INSERT INTO t VALUES(" + b"1" * 5000 + b")"), FileKind.LOG),
        (encode_v1(b"CREATE TABLE t(a)"), FileKind.LOG),
        (_RECORD + b"\x80", FileKind.LOG),
        (b"\xff" + _RECORD[1:] + _RECORD, FileKind.LOG),  # damaged, and goes on with a sound record
        (_RECORD[:-1], FileKind.TORN_LOG),
        (_RECORD[:12] + bytes(13), FileKind.TORN_LOG),
        (encode_statement("INSERT INTO t VALUES('é')".encode())[:-3], FileKind.TORN_LOG),
        (bytes(5000), FileKind.ZEROS),
        (b"Dear diary,\n", FileKind.TEXT),
        ("Grüß Gott".encode() * 1000, FileKind.TEXT),
        (b"SPGENV01" + bytes(30), FileKind.SPG_SNAPSHOT),
        (b"SPGDB001" + bytes(30), FileKind.SPG_SNAPSHOT),
        (b"SPGSEG\x03\0" + bytes(30), FileKind.SEGMENT),
        (b"SPGMAN01\x0a" + bytes(30), FileKind.MANIFEST),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), FileKind.OTHER),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + bytes(range(256)), FileKind.OTHER),
        (b"PK\x03\x04" + bytes(range(256)), FileKind.OTHER),
        (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(range(256)), FileKind.OTHER),
        (b"\xff\xfeG\0r\0", FileKind.OTHER),
    ],
)
def test_a_file_is_judged_by_its_content(tmp_path: Path, content: bytes, kind: FileKind) -> None:
    path = tmp_path / "app.wal"
    path.write_bytes(content)
    assert what_it_looks_like(path) is kind
    assert path.read_bytes() == content


def test_the_recorded_log_of_a_deployed_server() -> None:
    assert what_it_looks_like(_VECTORS / "mixed.wal") is FileKind.LOG


def test_a_database_and_its_journal(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t(a)")
        other = tmp_path / "copied"
        other.write_bytes((tmp_path / "x.db-wal").read_bytes())
    assert what_it_looks_like(tmp_path / "x.db") is FileKind.SQLITE
    assert what_it_looks_like(other) is FileKind.SQLITE_WAL


def test_what_is_not_a_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for a writer
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(os.fsencode(tmp_path / "socket"))
        kinds = [what_it_looks_like(tmp_path / name) for name in ("pipe", "socket", "", "nothing")]
    assert kinds == [FileKind.SPECIAL, FileKind.SPECIAL, FileKind.FOLDER, FileKind.MISSING]


@given(st.binary(min_size=1, max_size=200), st.integers(0, 60))
def test_whatever_stands_behind_a_whole_record_it_is_a_log(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.wal"
    path.write_bytes(_RECORD + tail)
    assert what_it_looks_like(path) is FileKind.LOG
    path.write_bytes((_RECORD * 2)[:cut])
    assert what_it_looks_like(path).may_be_log

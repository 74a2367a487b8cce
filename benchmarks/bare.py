"""The yardsticks: what Python itself does with the same bytes. Each runs in a process of its own.

``python -m benchmarks.bare sqlite LOG FOLDER`` and ``python -m benchmarks.bare parse LOG`` print seconds;
``python -m benchmarks.bare disk FOLDER COUNT`` prints one line of seconds for each pair.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from benchmarks.logs import create_table, insert

BATCH = 2000
_HEADER = struct.Struct("<II")


def statements(data: bytes, position: int) -> Iterator[str]:
    """The plainest loop over v3 records of type 0x01 that checks their CRC and decodes their SQL."""
    unpack = _HEADER.unpack_from
    size = len(data)
    while position < size:
        word, crc = unpack(data, position)
        end = position + 9 + (word & 0x1FFFFFFF)
        if crc32(data[position + 8 : end]) != crc:
            raise ValueError(f"a wrong checksum at {position}")
        yield data[position + 9 : end].decode("utf-8")
        position = end


def parse(log: Path) -> float:
    """Seconds that it takes to parse a log and keep its statements."""
    began = time.perf_counter()
    data = log.read_bytes()
    found: list[str] = []
    add, unpack, size, position = found.append, _HEADER.unpack_from, len(data), len(create_table())
    # The same as `statements`, without the cost of a generator.
    while position < size:
        word, crc = unpack(data, position)
        end = position + 9 + (word & 0x1FFFFFFF)
        if crc32(data[position + 8 : end]) != crc:
            raise ValueError(f"a wrong checksum at {position}")
        add(data[position + 9 : end].decode("utf-8"))
        position = end
    return time.perf_counter() - began


def _database(folder: Path) -> sqlite3.Connection:
    """A new database as durable as a follower's, without the cache of statements that only costs time here."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None, cached_statements=0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    for sql in statements(create_table(), 0):
        connection.execute(sql)
    return connection


def apply_to_sqlite(log: Path, folder: Path) -> float:
    """Seconds that it takes to apply a log's statements to a new database, in transactions of `BATCH`."""
    connection = _database(folder)
    began = time.perf_counter()
    data = log.read_bytes()
    execute = connection.execute
    execute("BEGIN")
    for number, sql in enumerate(statements(data, len(create_table())), 1):
        execute(sql)
        if number % BATCH == 0:
            execute("COMMIT")
            execute("BEGIN")
    execute("COMMIT")
    return time.perf_counter() - began


def disk_pairs(folder: Path, count: int) -> list[float]:
    """Seconds of pairs of one record appended and fsynced, and one row committed in SQLite."""
    connection = _database(folder)
    seconds = []
    with open(folder / "bare.wal", "ab", buffering=0) as log:
        for number in range(1, count + 1):
            record = insert(number)
            (sql,) = statements(record, 0)
            time.sleep(0.01)
            began = time.perf_counter()
            log.write(record)
            os.fdatasync(log.fileno())
            connection.execute(sql)
            seconds.append(time.perf_counter() - began)
    return seconds


def run(*words: str | Path | int) -> list[float]:
    """Run one of these in a process of its own; returns the seconds that it prints."""
    command = [sys.executable, "-m", "benchmarks.bare", *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()]


def _main(name: str, *words: str) -> None:
    if name == "sqlite":
        print(apply_to_sqlite(Path(words[0]), Path(words[1])))
    elif name == "parse":
        print(parse(Path(words[0])))
    elif name == "disk":
        print(*disk_pairs(Path(words[0]), int(words[1])), sep="\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])

"""The logs that are replayed: rows as a primary writes them, one record each."""

from __future__ import annotations

from pathlib import Path

from spgrepl.log.format.records import encode_statement
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE


def create_table() -> bytes:
    """The records with which the log begins: that it holds rows, and the one that makes the table."""
    return encode_statement(ROWS_FROM_HERE) + encode_statement(
        b"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, amount INTEGER)"
    )


def insert(number: int) -> bytes:
    """The record of one row."""
    return encode_statement(
        b"INSERT INTO t(id,name,amount)VALUES(%d,'name of row %d',%d)" % (number, number, number * 7)
    )


def inserts(count: int) -> bytes:
    """The records of rows 1 to `count`."""
    return b"".join(map(insert, range(1, count + 1)))


def append(log: Path, data: bytes) -> None:
    """Add bytes to a log, as another process that writes it does."""
    with open(log, "ab", buffering=0) as file:
        file.write(data)

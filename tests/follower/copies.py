"""Copies to test with: their files, logs for them, and what plain sqlite3 makes of such a log."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from spgrepl.engines.interfaces import IEngine
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.files import DatabasePaths
from spgrepl.follower.fence import FenceCheck
from spgrepl.follower.replay import Progress, Replay, SkipRequest
from spgrepl.sqltext import split_statements
from spgrepl.wal import records
from spgrepl.wal.parser import RecordBatch, cut_records
from spgrepl.wal.records import RecordType
from spgrepl.wal.transactions import StatementKind, statement_kind

CREATE = b"CREATE TABLE t (a INTEGER, b TEXT)"


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder for one example of many, in memory where that can be had: fsync costs nothing there."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        yield Path(folder)


class Copy:
    """A copy in a folder, opened and closed as a follower's process would."""

    def __init__(self, folder: Path, kind: type = SqliteEngine, skip: SkipRequest | None = None) -> None:
        self.paths = DatabasePaths.of(folder / "copy.db")
        self.engine: IEngine = kind(self.paths.database)
        self.replay = Replay(self.engine, self.paths, skip=skip)

    def open(self) -> Copy:
        self.replay.open()
        return self

    def close(self) -> None:
        self.replay.close()

    def install(self, snapshot: bytes, position: int) -> Progress:
        """Put a snapshot in place, as it would have been received."""
        self.replay.snapshot_path.write_bytes(snapshot)
        return self.replay.install(len(snapshot), position)

    def resume(self, log: bytes) -> int:
        """Begin a stream of a master's whole log anew, its fence compared.

        Returns:
            Where the stream goes on.
        """
        state = self.replay.resume()
        assert state is not None
        check = FenceCheck(state)
        assert check.feed(log[check.start : state.position]) == b""
        assert check.passed
        return state.position

    def rows(self, sql: str = "SELECT rowid, * FROM t ORDER BY rowid") -> list[tuple[object, ...]]:
        """What a program beside the follower reads."""
        with contextlib.closing(sqlite3.connect(self.paths.database)) as connection:
            return connection.execute(sql).fetchall()

    def stored_position(self) -> int:
        """The position that stands in the database."""
        ((position,),) = self.rows("SELECT position FROM spgrepl_replay")
        assert isinstance(position, int)
        return position


@contextlib.contextmanager
def opened(folder: Path, kind: type = SqliteEngine, skip: SkipRequest | None = None) -> Iterator[Copy]:
    """An open copy that is closed in the end."""
    copy = Copy(folder, kind, skip)
    copy.open()
    try:
        yield copy
    finally:
        copy.close()


def database_bytes(folder: Path, *statements: str, page_size: int = 4096) -> bytes:
    """A SQLite database with some content, as a master would send it."""
    path = folder / "made.db"
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("CREATE TABLE made_by (name TEXT)")
        for statement in statements:
            connection.execute(statement)
    content = path.read_bytes()
    path.unlink()
    return content


# -- logs -----------------------------------------------------------------------------------------------------


def log_of(*statements: bytes | str) -> bytes:
    """A log of v2 records, one a statement."""
    return b"".join(
        records.encode_v2(statement if isinstance(statement, bytes) else statement.encode())
        for statement in statements
    )


def batch_of(log: bytes, position: int = 0) -> RecordBatch:
    """All records of a log."""
    batch, error = cut_records(log, position)
    assert error is None
    assert len(batch.data) == len(log)
    return batch


def borders(log: bytes, base: int = 0) -> list[int]:
    """The positions at which a copy may rest: outside of transactions, between records."""
    inside, found, at = False, [base], base
    for record in batch_of(log, base):
        at = record.end
        if record.sql is not None and record.type is not RecordType.TRANSACTION:
            kind = statement_kind(record.sql)
            if kind is StatementKind.BEGIN:
                inside = True
            elif kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
                inside = False
        if not inside:
            found.append(at)
    return found


def reference(log: bytes, snapshot: bytes = b"") -> list[tuple[object, ...]]:
    """The rows of ``t`` when plain sqlite3 runs the log, statement by statement; an open transaction is undone."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        if snapshot:
            connection.deserialize(snapshot)
        for record in batch_of(log):
            _run_record(connection, record)
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return connection.execute("SELECT rowid, * FROM t ORDER BY rowid").fetchall()


def _run_record(connection: sqlite3.Connection, record: records.Record) -> None:
    if record.sql is None:
        return
    text = record.sql.decode()
    if statement_kind(record.sql) is StatementKind.CONTROL:
        return
    if record.type is RecordType.MYSQL:
        text = text.replace("\\'", "''").replace("`", '"')
    inside = connection.in_transaction
    pieces = split_statements(text)
    if record.type is RecordType.TRANSACTION and not inside:
        connection.execute("BEGIN")
    for piece in pieces:
        connection.execute("BEGIN" if piece.upper() == "START TRANSACTION" else piece)
    if record.type is RecordType.TRANSACTION and not inside:
        connection.execute("COMMIT")


_texts = st.text(st.sampled_from("ab'; -%é\n"), max_size=6).map(lambda text: text.replace("'", "''"))
_numbers = st.integers(0, 9)
_changes = st.one_of(
    st.builds("INSERT INTO t VALUES ({}, '{}')".format, _numbers, _texts),
    st.builds("insert into t values ({0}, 'x'), ({0}, '{1}')".format, _numbers, _texts),
    st.builds("UPDATE t SET b = '{1}' WHERE a = {0}".format, _numbers, _texts),
    st.builds("DELETE FROM t WHERE a = {}".format, _numbers),
    st.builds("INSERT INTO t VALUES ({}, '{}')".format, _numbers, st.just("long " * 80)),
).map(str.encode)
_plain_records = st.one_of(
    st.builds(records.encode_v1, _changes),
    st.builds(records.encode_v2, _changes),
    st.builds(records.encode_statement, _changes),
    st.builds(lambda sql: records.encode_timed(RecordType.TIMED, 7, 7, sql), _changes),
    st.builds(
        lambda changes: records.encode_timed(RecordType.TRANSACTION, 7, None, b";\n".join(changes)),
        st.lists(_changes, min_size=1, max_size=3),
    ),
    st.builds(lambda changes: records.encode_v2(b"; ".join(changes)), st.lists(_changes, min_size=2, max_size=3)),
    st.builds(
        lambda number, packed: records.encode_mysql(b"INSERT INTO `t` VALUES (%d, 'it\\'s')" % number, packed),
        _numbers,
        st.booleans(),
    ),
    st.just(records.encode_checkpoint(0)),
    st.just(records.encode_anchor(7, None, b"seg_1.spg")),
    st.just(records.encode_statement(b"CREATE PUBLICATION p FOR ALL TABLES")),
)
_savepoints = st.builds(
    lambda inner, end: [
        records.encode_v2(b"SAVEPOINT s"),
        *inner,
        *(records.encode_v2(statement) for statement in end),
    ],
    st.lists(_plain_records, max_size=2),
    st.sampled_from([[b"RELEASE s"], [b"ROLLBACK TO s", b"RELEASE SAVEPOINT s"], [b"ROLLBACK TO s"]]),
)
_bodies = st.lists(
    st.one_of(_plain_records.map(lambda record: [record]), _savepoints), min_size=1, max_size=4
).map(lambda parts: [record for part in parts for record in part])
_transactions = st.builds(
    lambda begin, body, end: [records.encode_v2(begin), *body, records.encode_v2(end)],
    st.sampled_from([b"BEGIN", b"begin transaction", b"START TRANSACTION"]),
    _bodies,
    st.sampled_from([b"ROLLBACK", b"COMMIT", b"rollback;", b"END"]),
)
_tails = st.one_of(st.just([]), _bodies.map(lambda body: [records.encode_v2(b"BEGIN"), *body]))

logs = st.builds(
    lambda units, tail: b"".join([*(record for unit in units for record in unit), *tail]),
    st.lists(st.one_of(_transactions, _plain_records.map(lambda record: [record])), max_size=8),
    _tails,
)
"""Logs of every kind of record, transaction and savepoint that change ``t``; some end inside a transaction."""

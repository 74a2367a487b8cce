"""Copies to test with: their files, logs for them, and what plain sqlite3 makes of such a log."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.interfaces.engine import IEngine, Mark
from spgrepl.log.format import records
from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.steps import stands_alone
from spgrepl.log.transactions.words import StatementKind, statement_kind
from spgrepl.pairs.fence import FenceCheck
from spgrepl.replica.following.progress import Progress, SkipRequest
from spgrepl.replica.following.replay import Replay
from spgrepl.text.sqltext import split_statements
from tests import sql as apsw_sql

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

    def install(self, snapshot: bytes, position: int, before: Mark | None = None) -> Progress:
        """Put a snapshot in place, as it would have been received."""
        self.replay.snapshot_path.write_bytes(snapshot)
        return self.replay.install(len(snapshot), position, before)

    def resume(self, log: bytes) -> int:
        """Begin a stream of a master's whole log again, its fence compared.

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
        with contextlib.closing(apsw_sql.connect(self.paths.database)) as connection:
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
    """The positions at which a copy may rest.

    Between records; but not inside of a transaction as long as it is the only thing that goes on.
    """
    count, others, found = 0, False, [base]
    batch = batch_of(log, base)
    for index, record in enumerate(batch):
        kind = _kind(record)
        if kind is StatementKind.BEGIN:
            others = count > 0
            count += 1
        elif kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
            count = max(0, count - 1)
        elif record.sql is not None and count and stands_alone(batch, index):
            others = True
        if others or not count:
            found.append(record.end)
    return found


def _kind(record: records.Record) -> StatementKind | None:
    if record.sql is None or record.type is RecordType.TRANSACTION:
        return None
    return statement_kind(record.sql)


def reference(log: bytes, snapshot: bytes = b"") -> list[tuple[object, ...]]:
    """The rows of ``t`` when plain sqlite3 runs the log, statement by statement; an open transaction is undone.

    What was committed by itself is run where it stands, a transaction at its end. Those that are open at the same
    time end in the same way.
    """
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        if snapshot:
            connection.deserialize(snapshot)
        count, held = 0, []
        batch = batch_of(log)
        for index, record in enumerate(batch):
            kind = _kind(record)
            if kind is StatementKind.BEGIN:
                count += 1
            elif kind in (StatementKind.COMMIT, StatementKind.ROLLBACK):
                count -= 1
                if count == 0:
                    _run_transaction(connection, held if kind is StatementKind.COMMIT else [])
                    held = []
            elif count and not stands_alone(batch, index):
                held.append(record)
            else:
                _run_record(connection, record)
        return connection.execute("SELECT rowid, * FROM t ORDER BY rowid").fetchall()


def _run_transaction(connection: sqlite3.Connection, held: list[records.Record]) -> None:
    connection.execute("BEGIN")
    for record in held:
        _run_record(connection, record)
    connection.execute("COMMIT")


def _run_record(connection: sqlite3.Connection, record: records.Record) -> None:
    if record.sql is None:
        return
    text = record.sql.decode()
    if statement_kind(record.sql) is StatementKind.CONTROL:
        return
    if record.type is RecordType.MYSQL:
        text = text.replace("\\'", "''").replace("`", '"')
    for piece in split_statements(text):
        connection.execute(piece)


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
_beside = st.builds(
    lambda first, second, third, end: [
        *map(records.encode_v2, (b"BEGIN", b"START TRANSACTION")),
        *first,
        records.encode_v2(end),
        *second,
        records.encode_v2(b"BEGIN"),
        *third,
        *[records.encode_v2(end)] * 2,
    ],
    *[st.lists(_plain_records, max_size=2)] * 3,
    st.sampled_from([b"COMMIT", b"ROLLBACK"]),
)
_tails = st.one_of(st.just([]), _bodies.map(lambda body: [records.encode_v2(b"BEGIN"), *body]))

logs = st.builds(
    lambda units, tail: b"".join([*(record for unit in units for record in unit), *tail]),
    st.lists(st.one_of(_transactions, _beside, _plain_records.map(lambda record: [record])), max_size=8),
    _tails,
)
"""Logs of every kind of record, transaction and savepoint that change ``t``; some end inside a transaction."""

"""The log that followers and subscribers are killed over, and what plain sqlite3 makes of it."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

from spgrepl.disk.files import DatabasePaths
from spgrepl.log.format import records
from spgrepl.log.format.parser import cut_records
from spgrepl.log.format.records import RecordFormat, RecordType
from spgrepl.primary.parts.requests import Request, Written
from tests.primary.copying import opened
from tests.replica.following.copies import quick_folder

RECORDS = 50_000 if "SPGREPL_KILLS" in os.environ else 20_000
BASE = 4711


def make_log(chance: random.Random) -> bytes:
    """A log of about `RECORDS` records: statements, as of an earlier version, then the rows of a real primary.

    The statements are of every kind, in transactions, rolled back, several to a record.
    """
    made: list[bytes] = []
    while len(made) < RECORDS // 4:
        made += _unit(chance, len(made))
    statements = b"".join(made)
    return statements + _rows_after(statements, chance)


def _rows_after(statements: bytes, chance: random.Random) -> bytes:
    """What a primary logs that takes over a database to which statements were applied."""
    with quick_folder() as folder:
        paths = DatabasePaths.of(folder / "primary.db")
        with closing(sqlite3.connect(paths.database, isolation_level=None)) as connection:
            for sql in TABLES:
                connection.execute(sql)
        reference = Reference(paths.database, statements)
        reference.content_at(BASE + len(statements))
        reference.save(paths.database)
        with opened(folder) as writer:
            count = 0
            while count < RECORDS * 3 // 4:
                found = writer.run([_request(chance, count) for _ in range(chance.randrange(1, 200))])
                assert all(isinstance(one, Written) for one in found), found
                count += 9 * len(found)  # records, on average
        return paths.wal.read_bytes()


def _request(chance: random.Random, number: int) -> Request:
    """One statement, or a transaction with a savepoint that is rolled back to."""
    if chance.random() < 0.6:
        return Request((_change(chance, number).decode(),))
    made = [_change(chance, number + index).decode() for index in range(chance.randrange(1, 12))]
    if chance.random() < 0.2:
        made += ["SAVEPOINT s", _change(chance, number).decode(), "ROLLBACK TO s"]
    return Request(tuple(made), transaction=True)


def _unit(chance: random.Random, number: int) -> list[bytes]:
    kind = chance.random()
    if kind < 0.7:
        encode = chance.choice([records.encode_v1, records.encode_v2, records.encode_statement])
        return [encode(_change(chance, number))]
    if kind < 0.72:
        return [records.encode_checkpoint(0)]
    if kind < 0.74:
        several = b";\n".join(_change(chance, number + index) for index in range(3))
        return [records.encode_timed(RecordType.TRANSACTION, number, None, several)]
    if kind < 0.75:
        return [records.encode_v2(_change(chance, number) + b"; " + _change(chance, number + 1))]
    if kind < 0.8:
        return _overlapping(chance)
    body = [records.encode_v2(_change(chance, number + index)) for index in range(chance.randrange(12))]
    if chance.random() < 0.2:
        body += [records.encode_v2(sql) for sql in (b"SAVEPOINT s", _change(chance, number), b"ROLLBACK TO s")]
    end = b"ROLLBACK" if chance.random() < 0.3 else b"COMMIT"
    return [records.encode_v2(b"BEGIN"), *body, records.encode_v2(end)]


def _overlapping(chance: random.Random) -> list[bytes]:
    """Transactions of two clients, and what others do beside them; in whatever order it takes effect."""

    def count() -> bytes:
        return b"UPDATE counters SET value = value + 1 WHERE id = %d" % chance.randrange(10)

    end = records.encode_v2(chance.choice([b"COMMIT", b"ROLLBACK"]))
    begin = records.encode_v2(b"BEGIN")
    made = [begin, records.encode_v2(count())]
    for middle in ([], [begin], [end], [begin], [end]):
        made += middle
        for _ in range(chance.randrange(4)):
            made.append(chance.choice([records.encode_v2, records.encode_statement])(count()))
    return [*made, end]


def _change(chance: random.Random, number: int) -> bytes:
    kind = chance.random()
    if kind < 0.6:
        return b"INSERT INTO items (number, name) VALUES (%d, 'item; %d''s')" % (number, number)
    if kind < 0.8:
        rows = b", ".join(b"(%d, 'one of several')" % (number + index) for index in range(chance.randrange(1, 20)))
        return b"INSERT INTO items (number, name) VALUES " + rows
    if kind < 0.95:
        return b"UPDATE counters SET value = value + 1 WHERE id = %d" % chance.randrange(10)
    return b"DELETE FROM items WHERE number = %d" % chance.randrange(max(1, number))


TABLES = (
    "CREATE TABLE items (id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER, name TEXT)",
    "CREATE INDEX by_number ON items (number)",
    "CREATE TABLE counters (id INTEGER PRIMARY KEY, value INTEGER)",
    "INSERT INTO counters SELECT value, 0 FROM json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]')",
    "CREATE TABLE ballast (b BLOB)",
    "INSERT INTO ballast VALUES (zeroblob(2000000))",
)


class Reference:
    """The snapshot's content, to which plain sqlite3 applies the log as far as it is asked."""

    def __init__(self, snapshot: Path, log: bytes) -> None:
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        with closing(sqlite3.connect(snapshot)) as source:
            source.backup(self._connection)
        batch, error = cut_records(log, BASE)
        assert error is None
        self._records = iter(batch)
        self._at = BASE
        self._open = 0
        self._held: list[records.Record] = []

    def content_at(self, position: int) -> list[list[tuple[object, ...]]]:
        """All rows at a position, which must not be before the last one; what is open has not happened yet."""
        while self._at < position:
            record = next(self._records)
            self._at = record.end
            if record.sql is not None:
                self._take(record)
        assert self._at == position, "a position in the middle of a record"
        assert not self._connection.in_transaction, "a position in the middle of a transaction"
        return content(self._connection)

    def _take(self, record: records.Record) -> None:
        """Run a record, or let it wait for the end of the transactions that are open."""
        alone = record.format is RecordFormat.V3 and record.type is not RecordType.MYSQL
        if record.sql == b"BEGIN":
            self._open += 1
        elif record.sql in (b"COMMIT", b"ROLLBACK"):
            self._open -= 1
            if not self._open:
                held, self._held = self._held, []
                self._connection.execute("BEGIN")
                for one in held if record.sql == b"COMMIT" else []:
                    assert one.sql is not None
                    self._run(one.sql.decode(), one.type)
                self._connection.execute("COMMIT")
        elif self._open and not alone:
            self._held.append(record)
        else:
            assert record.sql is not None
            self._run(record.sql.decode(), record.type)

    def _run(self, sql: str, kind: RecordType) -> None:
        if kind is RecordType.TRANSACTION:
            sql = f"BEGIN;\n{sql};\nCOMMIT"
        if ";" in sql:
            for piece in sql.replace("; ", ";\n").replace("'item;\n", "'item; ").split(";\n"):
                self._connection.execute(piece)
        else:
            self._connection.execute(sql)

    def save(self, database: Path) -> None:
        """Write the whole database over a file."""
        with closing(sqlite3.connect(database)) as target:
            self._connection.backup(target)

    def close(self) -> None:
        self._connection.close()


def content(connection: sqlite3.Connection) -> list[list[tuple[object, ...]]]:
    return [
        connection.execute("SELECT * FROM items ORDER BY id").fetchall(),
        connection.execute("SELECT * FROM counters ORDER BY id").fetchall(),
        connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall(),
    ]

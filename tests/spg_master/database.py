"""What a deployed SPG server does with its clients' statements: rows, snapshots, segments, and the log.

The rows are kept by SQLite, which is told each transaction as a whole when it is committed. So the truth does not
come from any code that reads logs.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from spgrepl.log.format.lzss import compress
from spgrepl.log.format.records import RecordType, encode_checkpoint, encode_v1, encode_v2, encode_v3
from tests.spg import writer as w

VERSION = 100
INT, TEXT = w.u8(1), w.u8(4)


class SpgDatabase:
    """A database of tables with two columns, ``id INT PRIMARY KEY`` and ``name TEXT``, and its log file.

    Args:
        folder: Where the log is, ``spg.wal``.
        late_begin: Whether BEGIN is logged before a transaction's first record only, as servers from 9.0.5 on do.
        asynchronous: Whether markers (0x02) stand in the log, as with asynchronous commit.
        old: Whether it writes as servers before 6.6 did: v1 records for all.

    Attributes:
        segments: The cold segments by id, as they are on disk.
        published: The publications: name, scope and tables.
    """

    def __init__(
        self, folder: Path, late_begin: bool = False, asynchronous: bool = False, old: bool = False
    ) -> None:
        self.wal = folder / "spg.wal"
        self.wal.touch()
        self._late = late_begin
        self._markers = asynchronous
        self._old = old
        self._truth = sqlite3.connect(":memory:", isolation_level=None)
        self._cold: dict[str, dict[int, int]] = {}
        self.tables: list[str] = []
        self.segments: dict[int, bytes] = {}
        self.published: list[tuple[str, int, tuple[str, ...]]] = []

    def close(self) -> None:
        """Let go of the rows."""
        self._truth.close()

    # -- the log ----------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The length of the log."""
        return self.wal.stat().st_size

    def append(self, data: bytes) -> None:
        """Write to the log."""
        with self.wal.open("ab") as file:
            file.write(data)

    def mark(self) -> None:
        """Write a marker of asynchronous commit."""
        self.append(encode_checkpoint(self.position))

    def log(self, sql: str, alone: bool) -> None:
        """Log a statement: one that was committed by itself, or another."""
        if self._old:
            self.append(encode_v1(sql.encode()))
        else:
            self.append(encode_v3(RecordType.SQL, sql.encode()) if alone else encode_v2(sql.encode()))
        if self._markers:
            self.mark()

    # -- clients ----------------------------------------------------------------------------------------------

    def client(self) -> SpgClient:
        """A connection of a client."""
        return SpgClient(self)

    def execute(self, sql: str) -> None:
        """A statement of somebody who is in no transaction: committed by itself."""
        self.client().execute(sql)

    def create(self, *tables: str) -> None:
        """Make tables. DDL is logged on the direct path."""
        for table in tables:
            self.run([f"CREATE TABLE {table} (id INT PRIMARY KEY, name TEXT)"])
            self.tables.append(table)
            self.log(f"CREATE TABLE {table} (id INT PRIMARY KEY, name TEXT)", alone=False)

    def publish(self, name: str, scope: str = "FOR ALL TABLES") -> None:
        """CREATE PUBLICATION."""
        words = scope.replace(",", " ").split()
        kinds = {"ALL": 0, "TABLE": 1}
        kind = 2 if "EXCEPT" in words else kinds[words[1]]
        names = tuple(words[words.index("EXCEPT") + 1 :] if kind == 2 else words[2:]) if kind else ()
        self.published.append((name, kind, names))
        self.log(f"CREATE PUBLICATION {name} {scope}", alone=False)

    def run(self, statements: Iterable[str]) -> None:
        """Let statements take effect, all of them together."""
        self._truth.execute("BEGIN")
        for statement in statements:
            self._truth.execute(statement)
        self._truth.execute("COMMIT")

    # -- rows -------------------------------------------------------------------------------------------------

    def rows(self, table: str) -> list[tuple[int, str | None]]:
        """What the server answers to a SELECT, by key."""
        return self._truth.execute(f"SELECT id, name FROM {table} ORDER BY id").fetchall()

    def ids(self, table: str) -> list[int]:
        """The keys of a table."""
        return [key for key, _ in self.rows(table)]

    def freeze(self, table: str, keys: Iterable[int], segment: int, compressed: bool = True) -> None:
        """Move rows to a cold segment, as a server's freezer does: the log says nothing of it."""
        rows = dict(self.rows(table))
        frozen = [(key, _row(key, rows[key])) for key in keys]
        content = w.segment(frozen, 4)
        self.segments[segment] = w.wrapped(content, compress(content)) if compressed else content
        self._cold.setdefault(table, {}).update({key: segment for key, _ in frozen})

    def snapshot(self) -> bytes:
        """The committed rows as an SPG snapshot: an envelope with a catalog."""
        tables = [self._table(name) for name in self.tables]
        return w.envelope(5, w.catalog(VERSION, *tables), b"", w.publications(*sorted(self.published)))

    def _table(self, name: str) -> bytes:
        cold = self._cold.get(name, {})
        rows = self.rows(name)
        hot = [(key, text) for key, text in rows if key not in cold]
        places = {key: w.hot(number) for number, (key, _) in enumerate(hot)}
        entries = [(key, [w.cold(cold[key]) if key in cold else places[key]]) for key, _ in rows]
        return w.table(
            VERSION,
            name,
            [w.column("id", INT, 0), w.column("name", TEXT)],
            [_row(key, text) for key, text in hot],
            [w.btree(VERSION, f"{name}_id", 0, entries)],
            blocks={7: w.list16(w.u8(1) + w.list16(w.u16(0)) + w.u8(0))},
        )

    def checkpoint(self) -> None:
        """CHECKPOINT: the snapshot is on disk, and the log is set to length 0."""
        with self.wal.open("r+b") as file:
            file.truncate(0)


def _row(key: int, text: str | None) -> bytes:
    return w.row(w.i32(key), None if text is None else w.text(text))


class SpgClient:
    """A client's connection: its transaction is its own, and in the log it is nobody's."""

    def __init__(self, database: SpgDatabase) -> None:
        self._database = database
        self._held: list[str] | None = None
        self._logged = False

    def execute(self, sql: str) -> None:
        """INSERT, UPDATE or DELETE."""
        database = self._database
        if self._held is None:
            database.run([sql])
            database.log(sql, alone=True)
            return
        self._log_begin()
        self._held.append(sql)
        database.log(sql, alone=False)

    def insert(self, table: str, *keys: int) -> None:
        """One INSERT a key."""
        for key in keys:
            self.execute(f"INSERT INTO {table} (id, name) VALUES ({key}, 'row {key}')")

    def returning(self, sql: str) -> None:
        """A statement on the direct path: a v2 record, though it is committed by itself."""
        self._database.run([sql.partition(" RETURNING")[0]])
        self._database.log(sql, alone=False)

    def begin(self, words: str = "BEGIN") -> None:
        """Begin a transaction."""
        self._held, self._logged, self._words = [], False, words
        if not self._database._late:
            self._log_begin()

    def _log_begin(self) -> None:
        if not self._logged:
            self._logged = True
            self._database.log(self._words, alone=False)

    def commit(self, words: str = "COMMIT") -> None:
        """End it, with its effect."""
        held, self._held = self._held, [] if "CHAIN" in words else None
        self._database.run(held or [])
        if self._logged:
            self._database.log(words, alone=False)

    def rollback(self, words: str = "ROLLBACK") -> None:
        """End it, without effect."""
        self._held = [] if "CHAIN" in words else None
        if self._logged:
            self._database.log(words, alone=False)

    def die(self) -> None:
        """The connection is lost: nothing of it is in the log."""
        self._held = None

    def copy(self, table: str, keys: Iterable[int], cut: int | None = None) -> None:
        """COPY: BEGIN, an INSERT a row, COMMIT; or it is cut after so many rows."""
        self.begin()
        with contextlib.suppress(ConnectionError):
            for number, key in enumerate(keys):
                if number == cut:
                    raise ConnectionError
                self.insert(table, key)
            self.commit()
        self.die()

"""Reading a log as a feed does, without a reactor; and a database to which nothing but the values was applied."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import apsw

from spgrepl.catalogue.statements import is_control
from spgrepl.feed.decoding import ChangeDecoder
from spgrepl.feed.keys import TableKeys
from spgrepl.feed.log_bytes import LogBytes
from spgrepl.feed.reader import DEFAULT_LIMITS, FeedLimits, UnitReader
from spgrepl.feed.start import Start, find_start
from spgrepl.feed.units import IUnits, TransactionUnits
from spgrepl.feed.values import Change, FeedKind, FeedPosition, FeedStart, FeedTransaction
from spgrepl.log.format.records import DEFAULT_MAX_RECORD
from spgrepl.rows.values import RawText, RowValue
from spgrepl.sqlite.session import prepare_session
from spgrepl.text.sqltext import quote_name


class Log:
    """A log's file, read in this thread."""

    def __init__(
        self,
        path: Path,
        database: Path | None = None,
        base: int = 0,
        new_units: Callable[[], IUnits] = TransactionUnits,
    ) -> None:
        self.path = path
        self._database = database
        self._base = base
        self._new_units = new_units

    @property
    def end(self) -> int:
        """Where the log ends."""
        return self._base + self.path.stat().st_size

    def find(self, start: Start, end: int | None = None) -> FeedPosition:
        """The position of a start."""
        log = self._open()
        try:
            end = self.end if end is None else end
            return find_start(log, self._database, self._new_units, start, end, DEFAULT_MAX_RECORD, lambda: False)
        finally:
            log.close()

    def read(
        self,
        start: Start = FeedStart.BEGINNING,
        part_size: int = DEFAULT_LIMITS.part_size,
        ends: Iterable[int] = (),
    ) -> Iterator[FeedTransaction]:
        """Everything from a position on.

        Args:
            start: Where to begin.
            part_size: When transactions are cut into parts.
            ends: How far the log may be read, one step after the other; then, to its end.
        """
        found = self.find(start)
        log, keys = self._open(), TableKeys(self._database)
        try:
            decoder = ChangeDecoder(keys, found.rows)
            reader = UnitReader(log, found, self._new_units, decoder, FeedLimits(part_size))
            for end in (*ends, self.end):
                more = True
                while more:
                    portion = reader.read(end)
                    yield from portion.transactions
                    more = portion.more
            self.position = portion.position
        finally:
            keys.close()
            log.close()

    def _open(self) -> LogBytes:
        return LogBytes(os.open(self.path, os.O_RDONLY), self._base, f"the log {self.path}")


class Receiver:
    """A database to which changes are applied as they come, with SQL that is made of the values alone."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self.connection = apsw.Connection(str(path))
        prepare_session(self.connection)
        for switch in (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, apsw.SQLITE_DBCONFIG_DQS_DML):
            self.connection.config(switch, 0)

    def take(self, transaction: FeedTransaction) -> None:
        """Apply all changes of a transaction."""
        for change in transaction.changes:
            self.apply(change)

    def apply(self, change: Change) -> None:
        """Apply a change."""
        table = quote_name(change.table)
        if change.kind is FeedKind.STATEMENT:
            if not is_control(change.statement):
                self.connection.execute(change.statement)
            return
        if change.kind is FeedKind.CLEAR:
            self.connection.execute(f"DELETE FROM {table}")
            return
        if change.kind is FeedKind.INSERT:
            assert change.after is not None
            names = ",".join(map(quote_name, change.after))
            marks = ",".join(map(mark, change.after.values()))
            self._run(f"INSERT INTO {table}({names})VALUES({marks})", change.after.values())
        else:
            self._change_row(change, table)
        assert self.connection.changes() == 1, change

    def _change_row(self, change: Change, table: str) -> None:
        assert change.before is not None
        assert tuple(change.before) == change.key
        values = list(change.before.values())
        alike = " AND ".join(f"{quote_name(name)} IS {mark(value)}" for name, value in change.before.items())
        if change.one_of is not None:
            alike += "".join(
                f" AND {quote_name(name)} COLLATE BINARY IS {mark(value)} AND "
                f"typeof({quote_name(name)})=typeof({mark(value)})"
                for name, value in change.before.items()
            )
            values = values + [value for value in values for _ in range(2)]
            number = quote_name(change.one_of)
            alike = f"{number}=(SELECT min({number}) FROM {table} WHERE {alike})"
        if change.kind is FeedKind.DELETE:
            self._run(f"DELETE FROM {table} WHERE {alike}", values)
            return
        assert change.after is not None
        assert set(change.after) == {*change.key, *change.changed}
        changed = ",".join(f"{quote_name(name)}={mark(change.after[name])}" for name in change.changed)
        given = [change.after[name] for name in change.changed]
        self._run(f"UPDATE {table} SET {changed} WHERE {alike}", [*given, *values])

    def _run(self, sql: str, values: Iterable[RowValue]) -> None:
        bound = [value.content if isinstance(value, RawText) else value for value in values]
        self.connection.execute(sql, bound)


def mark(value: RowValue) -> str:
    """What stands for a value in SQL."""
    return "CAST(? AS TEXT)" if isinstance(value, RawText) else "?"


def texts(transactions: Iterable[FeedTransaction]) -> list[list[str]]:
    """What transactions say, shortly."""
    return [[text_of(change) for change in one.changes] for one in transactions]


def text_of(change: Change) -> str:
    """What a change says, shortly."""
    if change.kind is FeedKind.STATEMENT:
        return change.statement
    return f"{change.kind} {change.table} {change.before} {change.after}"

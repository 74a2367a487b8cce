"""From the master's log to the subscriber's tables: what is there is what was committed and published.

A master cuts a log, judges and filters it; a subscription takes what comes, loses its connection, starts again.
In the end its tables equal those of a plain SQLite database in which the whole log was run. No statement touches
two tables, so those that are published do not depend on the others.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spgrepl.log.format import records
from spgrepl.log.format.parser import cut_records
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions.steps import stands_alone
from spgrepl.log.transactions.walk import TransactionWalk
from spgrepl.master.judged import cutting
from spgrepl.master.judged import judged_feed as record_feed
from spgrepl.replica.subscribing import queue
from spgrepl.text.sqltext import split_statements
from tests import sql as sqlite3
from tests.replica.following.copies import quick_folder
from tests.replica.subscribing.kit import Rig, running
from tests.replica.subscribing.targets import make_snapshot, objects

NAMES = ("t", "u", "w")
TABLES = tuple(f"CREATE TABLE {name} (n INTEGER, s TEXT)" for name in NAMES) + tuple(
    f"INSERT INTO {name} VALUES (0, 'of the snapshot')" for name in NAMES
)
PUBLICATIONS = (
    "CREATE PUBLICATION p FOR TABLE t",
    "CREATE PUBLICATION q FOR TABLE u, w",
    "CREATE PUBLICATION r FOR ALL TABLES EXCEPT t",
    "CREATE PUBLICATION every",
)
TAKEN = {"p": {"t"}, "q": {"u", "w"}, "r": {"u", "w"}, "every": set(NAMES), "unknown": set()}

# -- logs -----------------------------------------------------------------------------------------------------

numbers = st.integers(0, 9)
texts = st.text(st.sampled_from("ab'; -é\n"), max_size=5).map(lambda text: text.replace("'", "''"))


def changes(table: str) -> st.SearchStrategy[bytes]:
    """Statements whose second execution would show."""
    return st.one_of(
        st.builds("INSERT INTO {0} VALUES ({1}, '{2}')".format, st.just(table), numbers, texts),
        st.builds("insert into {0} values ({1}, 'x'), ({1}, 'y')".format, st.just(table), numbers),
        st.builds("UPDATE {0} SET n = n + 1 WHERE n <> {1}".format, st.just(table), numbers),
        st.builds("UPDATE {0} SET s = s || '{1}'".format, st.just(table), texts),
        st.builds("/* of one */ DELETE FROM {0} WHERE n = {1}".format, st.just(table), numbers),
        st.builds("INSERT INTO {0} VALUES ({1}, '{2}')".format, st.just(table), numbers, st.just("long " * 80)),
    ).map(str.encode)


def of_one_table(table: str) -> st.SearchStrategy[bytes]:
    """Records of every form that change a table."""
    return st.one_of(
        st.builds(records.encode_v1, changes(table)),
        st.builds(records.encode_v2, changes(table)),
        st.builds(records.encode_statement, changes(table)),
        st.builds(lambda sql: records.encode_timed(RecordType.TIMED, 7, 7, sql), changes(table)),
        st.builds(
            lambda several: records.encode_timed(RecordType.TRANSACTION, 7, None, b";\n".join(several)),
            st.lists(changes(table), min_size=1, max_size=3),
        ),
        st.builds(
            lambda several: records.encode_v2(b"; ".join(several)),
            st.lists(changes(table), min_size=2, max_size=3),
        ),
    )


spellings = [*NAMES, *(f"public.{name}" for name in NAMES), '"t"', "main.u", "T"]
plain = st.one_of(*map(of_one_table, spellings))
other = st.one_of(
    st.builds(
        lambda table, number: records.encode_mysql(b"INSERT INTO `%s` VALUES (%d, 'it\\'s')" % (table, number)),
        st.sampled_from([name.encode() for name in NAMES]),
        numbers,
    ),
    st.just(records.encode_checkpoint(0)),
    st.just(records.encode_anchor(7, None, b"seg_1.spg")),
    st.just(records.encode_statement(b"SET effective_wal_level = 'logical'")),
    st.builds(
        lambda number: records.encode_statement(b"CREATE TABLE IF NOT EXISTS other%d (a)" % number), numbers
    ),
)
singles = st.one_of(plain, plain, plain, other)


def word(*choices: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from([records.encode_v2(choice.encode()) for choice in choices])


savepoints = st.deferred(
    lambda: st.builds(
        lambda begin, inner, end: [begin, *inner, *end],
        word("SAVEPOINT a", "savepoint A", "SAVEPOINT b"),
        bodies,
        st.one_of(
            st.lists(word("ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a", "ROLLBACK TRANSACTION TO a"), max_size=2),
            st.just([]),
        ),
    ).map(balanced)
)


def balanced(part: list[bytes]) -> list[bytes]:
    """Leave out what goes back to a savepoint that is not set."""
    known = 0
    found = []
    for record in part:
        text = record[8:].upper()
        known += text == b"SAVEPOINT A"
        if known or not text.startswith(b"ROLLBACK TO") or not text.endswith(b"A"):
            found.append(record)
    return [record for record in found if known or not record[8:].upper().startswith(b"ROLLBACK T")]


bodies = st.lists(st.one_of(singles.map(lambda record: [record]), savepoints), max_size=4).map(
    lambda parts: [record for part in parts for record in part]
)
transactions = st.builds(
    lambda begin, body, end: [begin, *body, end],
    word("BEGIN", "begin transaction", "START TRANSACTION"),
    bodies,
    word("COMMIT", "END", "COMMIT;", "ROLLBACK", "rollback;"),
)
tails = st.one_of(st.just([]), bodies.map(lambda body: [records.encode_v2(b"BEGIN"), *body]))
logs = st.builds(
    lambda units, times, tail: [record for unit in (*units * times, tail) for record in unit],
    st.lists(st.one_of(transactions, singles.map(lambda record: [record])), min_size=4, max_size=16),
    st.integers(1, 4),
    tails,
)


# -- the reference --------------------------------------------------------------------------------------------


def reference(log: Sequence[bytes], names: set[str]) -> dict[str, list[tuple[object, ...]]]:
    """The rows of some tables after a log: every committed statement of the log, run by plain SQLite."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for statement in TABLES:
            connection.execute(statement)
        run_log(connection, b"".join(log))
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in names}


def run_log(connection: sqlite3.Connection, log: bytes) -> None:
    """Run what takes effect, in the order of the log: a subscriber gets a transaction when it has ended.

    What was committed by itself inside of a transaction takes effect whatever becomes of that.
    """
    batch, error = cut_records(log, 0)
    assert error is None
    kept: list[tuple[records.Record, bool]] | None = None
    savepoints: list[tuple[str, int]] = []
    for index, record in enumerate(batch):
        alone = stands_alone(batch, index)
        word = "" if record.sql is None or alone else record.sql.decode().upper().strip("; ")
        if word in ("BEGIN", "BEGIN TRANSACTION", "START TRANSACTION"):
            kept, savepoints = [], []
        elif kept is None:
            run_record(connection, record)
        elif word in ("COMMIT", "END", "ROLLBACK"):
            for one, stays in kept:
                if stays or word != "ROLLBACK":
                    run_record(connection, one)
            kept = None
        elif word.startswith("SAVEPOINT "):
            savepoints.append((word.split()[-1], len(kept)))
        elif word.startswith("ROLLBACK T"):
            while savepoints[-1][0] != word.split()[-1]:
                savepoints.pop()
            at = savepoints[-1][1]
            kept[at:] = [(one, stays) for one, stays in kept[at:] if stays]
        else:
            kept.append((record, alone))


def run_record(connection: sqlite3.Connection, record: records.Record) -> None:
    if record.sql is None or record.sql.startswith(b"SET "):
        return
    text = record.sql.decode().replace("public.", "")
    if record.type is RecordType.MYSQL:
        text = text.replace("\\'", "''").replace("`", '"')
    alone = record.type is RecordType.TRANSACTION and not connection.in_transaction
    for piece in ["BEGIN"] * alone + split_statements(text) + ["COMMIT"] * alone:
        connection.execute("BEGIN" if piece.upper() == "START TRANSACTION" else piece)


def end_of_units(log: Sequence[bytes]) -> int:
    """The position after the last unit that has ended."""
    batch, _ = cut_records(b"".join(log), 0)
    walk = TransactionWalk()
    walk.walk(batch)
    return batch.end if walk.begin is None else walk.begin


# -- the property ---------------------------------------------------------------------------------------------

HEAD = [records.encode_statement(text.encode()) for text in TABLES]


class Course:
    """Lets a log grow and its subscription be cut off and started again, as dice say."""

    def __init__(
        self, rig: Rig, head: list[bytes], log: list[bytes], names: list[str], dice: random.Random
    ) -> None:
        self.rig = rig
        self.dice = dice
        self.names = names
        self.rest = b"".join(log)
        self.head = head
        self.log = [*head, *log]

    def run(self) -> None:
        self.rig.master.source.save = self.save
        self.rig.master.catalog.boundary = self.rig.master.log.length
        self.rig.wire.room = self.dice.choice([100, 10**6])
        self.start()
        for _ in range(self.dice.choice([0, 12])):
            self.rig.worker.work()
            self.rig.turn()
        while self.rest:
            self.step()
        end = end_of_units(self.log)
        for _ in range(300):
            if self.rig.status["positions"]["applied"] == end:
                return
            self.rig.worker.work()
            self.rig.turn(self.dice.choice([0.001, 0.3]))

    def start(self) -> None:
        self.rig.start(*self.names)
        self.rig.worker.hold()

    def step(self) -> None:
        chance = self.dice.random()
        if chance < 0.3:
            size = self.dice.choice([1, 30, 100, 500])
            self.grow(size)
        elif chance < 0.36:
            self.rig.wire.last.cut()
        elif chance < 0.4:
            self.rig.stop()
            self.start()
        else:
            self.turn()

    def grow(self, size: int) -> None:
        self.rig.grow(self.rest[:size])
        self.rest = self.rest[size:]
        written = b"".join(self.log)[: self.rig.master.log.length]
        batch, _ = cut_records(written, 0)
        self.rig.master.catalog.boundary = end_of_units([batch.data[: batch.ends[-1]] if batch.ends else b""])

    def save(self, path: Path) -> int:
        """Make the snapshot that a master would make now."""
        end = self.rig.master.catalog.boundary
        assert end is not None
        log = b"".join(self.log)[len(b"".join(self.head)) : end]
        make_snapshot(path, *TABLES, control=PUBLICATIONS)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            run_log(connection, log)
        return end

    def turn(self) -> None:
        if self.dice.random() < 0.6:
            self.rig.worker.work()
        self.rig.turn(self.dice.choice([0.001, 0.03, 0.6]), self.dice.choice([1, 40, 300]))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a little log be long for those who cut it."""
    monkeypatch.setattr(cutting, "BLOCK", 512)
    monkeypatch.setattr(record_feed, "CACHE_BYTES", 1024)
    monkeypatch.setattr(queue.ApplyQueue, "high_water", 2048)
    monkeypatch.setattr(queue.ApplyQueue, "low_water", 300)


asked = st.lists(st.sampled_from(sorted(TAKEN)), min_size=1, max_size=3, unique=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    log=logs,
    names=asked,
    copied=st.sampled_from(["copy", "copy of an empty log", "none"]),
    seed=st.integers(0, 99),
)
def test_the_tables_equal_those_of_a_reference(log: list[bytes], names: list[str], copied: str, seed: int) -> None:
    head = [] if copied == "copy of an empty log" else HEAD
    taken = set().union(*(TAKEN[name] for name in names))
    with (
        quick_folder() as folder,
        running(folder, tables=TABLES, publications=PUBLICATIONS, log=b"".join(head)) as rig,
    ):
        if copied == "none":
            with closing(sqlite3.connect(rig.database)) as connection:
                connection.executescript(";".join(TABLES))
        course = Course(rig, head, log, names, random.Random(seed))
        more = {"copy_data": False, "start": course.rig.master.log.length} if copied == "none" else {}
        rig_start = rig.start
        rig.start = lambda *words: rig_start(*words, **more)
        course.run()
        assert rig.ended == [None] * (len(rig.services) - 1)
        assert {name: rig.rows(name) for name in taken} == reference(log, taken)
        if copied != "none":
            assert set(objects(rig.database)) & set(NAMES) == taken
        assert rig.stored is not None
        assert rig.stored.position == end_of_units([*head, *log])

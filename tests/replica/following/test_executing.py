"""What a batch of the log asks for, run in an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from spgrepl.errors import ReplayStopped, StatementRefused
from spgrepl.log.format.parser import RecordBatch
from spgrepl.log.format.records import RecordType, decode_record
from spgrepl.log.transactions.groups import Group
from spgrepl.log.transactions.work import Settled, Work
from spgrepl.replica.following.executing import Execution, Refused, index_to_skip
from tests.log.transactions.batches import alone, batch

A, B, C, BAD = "INSERT INTO t VALUES (1)", "UPDATE t SET a = 2", "DELETE FROM t", "BAD"


class Engine:
    """Notes what it is asked, and refuses what is bad."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def execute(self, statements: Sequence[bytes], types: Mapping[int, RecordType]) -> None:
        for index, sql in enumerate(statements):
            if sql == BAD.encode():
                raise StatementRefused(index, sql, "no such table")
            self.done.append(sql.decode() + ("*" if index in types else ""))

    def control(self, sql: bytes) -> None:
        if b"bad" in sql:
            raise StatementRefused(0, sql, "no such publication")
        self.done.append(f"control {sql.decode()}")


class Rig:
    def __init__(self, *log: str | bytes, skip: tuple[int, int] | None = None) -> None:
        self.engine = Engine()
        self.log = batch(*log)
        self.execution = Execution(self.engine, self.read, skip)  # type: ignore[arg-type]

    def read(self, base: int, start: int, stop: int) -> Iterator[RecordBatch]:
        yield batch(self.log.data[start - base : stop - base], position=start)


def work_of(found: RecordBatch) -> Work:
    work = Work()
    for index, sql in enumerate(found.sql):
        work.add(index, sql or b"", found.types.get(index))
    return work


def test_statements_and_controls_in_order() -> None:
    found = batch(A, "CREATE PUBLICATION p FOR TABLE t", B)
    rig = Rig()
    rig.execution.run(found, work_of(found))
    assert rig.engine.done == [A, "control CREATE PUBLICATION p FOR TABLE t", B]


@pytest.mark.parametrize("bad", [BAD, "DROP PUBLICATION bad"])
def test_what_is_refused_is_named_by_its_record(bad: str) -> None:
    found = batch(A, "CREATE PUBLICATION p FOR TABLE t", B, bad, C, position=500)
    rig = Rig()
    with pytest.raises(Refused) as refused:
        rig.execution.run(found, work_of(found))
    error = refused.value.error
    assert isinstance(error, ReplayStopped)
    assert (refused.value.index, error.position, error.crc) == (3, found.start_of(3), found.record(3).crc)
    assert rig.engine.done[-1] == B


def test_transactions_that_have_ended_are_read_again_from_where_they_stand() -> None:
    rig = Rig("BEGIN", A, B, "COMMIT", C)
    work = Work()
    work.settled.append(Settled(0, 3, Group(begin=0, opened_by=0, open=0, commits=1), ()))
    work.add(4, C.encode(), None)
    rig.execution.run(rig.log, work)
    assert rig.engine.done == [A, B, C]


def test_what_is_refused_of_them_is_named_by_itself_and_stops_at_their_end() -> None:
    rig = Rig("BEGIN", A, BAD, "COMMIT")
    with pytest.raises(Refused) as refused:
        rig.execution.settle(Settled(0, 3, Group(begin=0, opened_by=0, open=0, commits=1), ()), rig.log.end)
    assert refused.value.index == 3
    assert isinstance(refused.value.error, ReplayStopped)
    assert refused.value.error.position == rig.log.start_of(2)


def test_what_the_snapshot_holds_of_records_that_stood_alone_is_left_out() -> None:
    found = batch(alone(A), B, alone(C))
    rig = Rig()
    rig.execution.alone_to = found.start_of(2)
    rig.execution.run(found, work_of(found))
    assert rig.engine.done == [B, C]


def test_one_record_is_skipped_as_ordered() -> None:
    found = batch(A, B, C, position=100)
    record = decode_record(found.data[found.ends[0] : found.ends[1]], limit=1000)
    assert record is not None
    rig = Rig(skip=(found.start_of(1), record.crc))
    assert rig.execution.skipped(found) == 1
    assert rig.execution.left_out == 1
    assert rig.execution.skipped(batch(A)) is None
    assert rig.execution.left_out == 1
    rig.execution.leave_out(found.start_of(2), found.record(2).crc)
    assert rig.execution.skipped(found) == 2
    assert rig.execution.left_out == 2


def test_no_other_record_is_meant() -> None:
    found = batch(A, B, position=100)
    crc = found.record(1).crc
    assert index_to_skip(found, found.start_of(1), crc) == 1
    assert index_to_skip(found, found.start_of(1), crc ^ 1) is None
    assert index_to_skip(found, found.start_of(1) + 1, crc) is None
    assert index_to_skip(found, found.end, crc) is None

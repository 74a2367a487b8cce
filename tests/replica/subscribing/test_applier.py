"""Applying a SUB stream: each record once, rows and position together, whatever a record or the disk does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zlib import crc32

import pytest

from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import (
    DatabaseLocked,
    EngineFailed,
    ReplayStopped,
    ServiceStopped,
    StatementRefused,
    TableMismatch,
)
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.log.format.records import (
    RecordType,
    decode_record,
    encode_anchor,
    encode_checkpoint,
    encode_mysql,
    encode_statement,
    encode_timed,
    encode_v1,
    encode_v2,
)
from spgrepl.replica.following.progress import SkipRequest
from spgrepl.replica.subscribing.applier import Applier
from spgrepl.replica.subscribing.portions import Portion
from spgrepl.replica.subscribing.settings import Subscription
from tests.replica.subscribing.streams import STATUS, Item, frames_of, insert, inside, length_of
from tests.replica.subscribing.targets import make_snapshot, rows, run_sql

BAD = encode_statement(b"INSERT INTO nowhere VALUES (7)")
START = 40


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "target.db"
    run_sql(path, "CREATE TABLE t (a INTEGER PRIMARY KEY)")
    return path


class Rig:
    """An applier whose subscription has begun at `START`."""

    def __init__(self, database: Path, kind: type[SqliteTarget] = SqliteTarget, **more: object) -> None:
        self.database = database
        self.target = kind(database, "s")
        self.applier = Applier(self.target, Subscription("s", ("p",), **more))
        if self.applier.open() is None:
            self.applier.start(START)

    def apply(self, *batches: Sequence[Item]) -> SubscriptionState:
        """Apply portions that follow one another, and what was applied before, as one batch."""
        assert self.applier.state is not None
        return self.apply_from(self.applier.state.position, *batches)

    def apply_from(self, position: int, *batches: Sequence[Item]) -> SubscriptionState:
        portions = []
        for items in batches:
            frames = frames_of(position, *items)
            portions.append(Portion(frames, 0, len(frames), frames.end))
            position = frames.end
        return self.applier.apply(portions)

    @property
    def numbers(self) -> list[object]:
        return [number for (number,) in rows(self.database, "SELECT a FROM t ORDER BY a")]

    @property
    def stored(self) -> SubscriptionState:
        """The state as the next process finds it."""
        found = SqliteTarget(self.database, "s").open()
        assert found is not None
        return found

    def skipped(self, columns: str = "position, record") -> list[tuple[object, ...]]:
        return rows(self.database, f"SELECT {columns} FROM spgrepl_skipped ORDER BY position")


@pytest.fixture
def make(database: Path) -> Iterator[type[Rig]]:
    made: list[Rig] = []

    class Kept(Rig):
        def __init__(self, kind: type[SqliteTarget] = SqliteTarget, **more: object) -> None:
            super().__init__(database, kind, **more)
            made.append(self)

    yield Kept
    for rig in made:
        rig.applier.close()


Make = type[Rig]


# -- opening, beginning, closing ------------------------------------------------------------------------------


def test_nothing_is_done_before_it_is_opened_and_after_it_is_closed(database: Path, tmp_path: Path) -> None:
    applier = Applier(SqliteTarget(database, "s"), Subscription("s", ("p",)))
    snapshot = make_snapshot(tmp_path / "snapshot")
    for _ in range(2):
        for call in (lambda: applier.start(7), lambda: applier.apply([]), lambda: applier.copy(snapshot, 7)):
            with pytest.raises(ServiceStopped, match="being stopped"):
                call()
        assert applier.state is None
        applier.open()
        applier.close()
    assert rows(database, "SELECT name FROM sqlite_master") == [("t",)]


def test_one_process_runs_a_subscription(database: Path, tmp_path: Path) -> None:
    first, second = (
        Applier(SqliteTarget(database, "s"), Subscription("s", ("p",)), tmp_path / "lock") for _ in range(2)
    )
    first.open()
    with pytest.raises(DatabaseLocked, match="lock is held by process"):
        second.open()
    second.close()
    with pytest.raises(DatabaseLocked):
        second.open()
    first.close()
    second.open()
    second.close()


def test_the_start_is_stored_before_anything_is_received(make: Make) -> None:
    """PROTOCOL section 7, item 5."""
    rig = make()
    assert rig.stored == SubscriptionState(("p",), START, START)
    assert rig.applier.state == rig.stored


def test_a_copy_is_a_beginning_too(database: Path, tmp_path: Path) -> None:
    run_sql(database, "DROP TABLE t")
    snapshot = make_snapshot(
        tmp_path / "snapshot",
        "CREATE TABLE t (a INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (5)",
        control=("CREATE PUBLICATION p FOR TABLE t",),
    )
    applier = Applier(SqliteTarget(database, "s"), Subscription("s", ("p",)))
    applier.open()
    assert applier.copy(snapshot, 900) == applier.state == SubscriptionState(("p",), 900, 900)
    applier.close()
    assert rows(database, "SELECT a FROM t") == [(5,)]


def test_rows_behind_position_0_are_never_replaced_by_a_copy(database: Path, tmp_path: Path) -> None:
    run_sql(database, "DROP TABLE t")
    snapshot = make_snapshot(
        tmp_path / "snapshot",
        "CREATE TABLE t (a INTEGER PRIMARY KEY)",
        "INSERT INTO t VALUES (5)",
        control=("CREATE PUBLICATION p FOR TABLE t",),
    )
    applier = Applier(SqliteTarget(database, "s"), Subscription("s", ("p",)))
    applier.open()
    applier.copy(snapshot, 0)
    applier.copy(snapshot, 0)
    frames = frames_of(0, insert(1))
    applier.apply([Portion(frames, 0, 1, frames.end)])
    with pytest.raises(TableMismatch):
        applier.copy(snapshot, 900)
    applier.close()
    assert rows(database, "SELECT a FROM t") == [(1,), (5,)]


def test_other_publications_are_warned_of_and_noted_with_the_next_record(make: Make, logged: list[str]) -> None:
    make().applier.close()
    rig = make()
    assert logged == []
    rig.applier.close()
    applier = Applier(SqliteTarget(rig.database, "s"), Subscription("s", ()))
    applier.open()
    assert "asked for p, and asks for every table from position 40 on" in logged[0]
    frames = frames_of(START, insert(1))
    applier.apply([Portion(frames, 0, 1, frames.end)])
    applier.close()
    assert rig.stored.publications == ()


# -- what is applied ------------------------------------------------------------------------------------------


def test_rows_position_and_fence_move_together(make: Make) -> None:
    rig = make()
    state = rig.apply([9, insert(1), 20, insert(2)], [insert(3), 5])
    assert rig.numbers == [1, 2, 3]
    assert state == rig.stored == rig.applier.state
    assert state.position == START + length_of(9, insert(1), 20, insert(2), insert(3), 5)
    assert state.effective_start == START
    assert state.fence == (
        FenceRecord(START + 9, crc32(insert(1))),
        FenceRecord(START + 29 + len(insert(1)), crc32(insert(2))),
        FenceRecord(START + 29 + 2 * len(insert(1)), crc32(insert(3))),
    )


def test_only_the_records_of_a_portion_are_applied(make: Make) -> None:
    rig = make()
    frames = frames_of(START, insert(1), insert(2), insert(3))
    state = rig.applier.apply([Portion(frames, 1, 2, frames.end_of(1))])
    assert rig.numbers == [2]
    assert (state.position, len(state.fence)) == (frames.end_of(1), 1)


def test_what_is_passed_over_moves_the_position_alone(make: Make) -> None:
    rig = make()
    assert rig.apply([5000]) == rig.stored == SubscriptionState(("p",), START, START + 5000)
    assert {**rig.target.statistics(), "statements": 0, "skipped": 0} == rig.target.statistics()


FORMS = {
    "v1": encode_v1(b"INSERT INTO t VALUES (6)"),
    "v2": encode_v2(b"INSERT INTO t VALUES (6)"),
    "compressed": encode_statement(b"INSERT INTO t VALUES (6) /*" + b"long " * 100 + b"*/"),
    "mysql": encode_mysql(b"INSERT INTO `t` VALUES (6)"),
    "mysql, compressed": encode_mysql(b"INSERT INTO `t` VALUES (6)", True),
    "timed": encode_timed(RecordType.TIMED, 7, 7, b"INSERT INTO t VALUES (6)"),
    "transaction": encode_timed(RecordType.TRANSACTION, 7, None, b"INSERT INTO t VALUES (5);\nUPDATE t SET a = 6"),
}


@pytest.mark.parametrize("mark", [None, encode_checkpoint(0), encode_anchor(7, None, b"seg_1.spg")])
@pytest.mark.parametrize("record", FORMS.values(), ids=FORMS)
def test_every_form_of_record_is_applied_and_marks_are_passed_over(
    make: Make, record: bytes, mark: bytes | None
) -> None:
    """PROTOCOL section 7, item 3; no master forwards a checkpoint, and one that did would do no harm."""
    rig = make()
    state = rig.apply([mark, record, mark, insert(8)] if mark else [record, insert(8)])
    assert rig.numbers == [6, 8]
    assert state.position == START + length_of(record, insert(8)) + 2 * len(mark or b"")


# -- a record that is refused ---------------------------------------------------------------------------------


def stopped(rig: Rig, *batches: Sequence[Item]) -> ReplayStopped:
    with pytest.raises(ReplayStopped) as found:
        rig.apply(*batches)
    assert rig.applier.state == rig.stored
    return found.value


def test_a_refused_record_stops_behind_what_stands_before_it(make: Make) -> None:
    rig = make()
    error = stopped(rig, [insert(1), 20, insert(2)], [9, insert(3), BAD, insert(4)], [insert(5)])
    at = START + length_of(insert(1), 20, insert(2), 9, insert(3))
    assert (error.position, error.crc) == (at, decode_record(BAD).crc)
    assert "no such table: nowhere" in str(error)
    assert f"--skip-at {at}" in str(error)
    assert rig.numbers == [1, 2, 3]
    assert rig.stored.position == at
    assert rig.stored.fence[-1].position == at - len(insert(3))
    # Again, and then somebody fixes the target.
    assert stopped(rig, [BAD, insert(4)]).position == at
    run_sql(rig.database, "CREATE TABLE nowhere (x)")
    rig.apply([BAD, insert(4)], [insert(5)])
    assert rig.numbers == [1, 2, 3, 4, 5]
    assert rows(rig.database, "SELECT x FROM nowhere") == [(7,)]


@pytest.mark.parametrize("mark", [None, encode_checkpoint(0)])
def test_the_first_record_may_be_the_one(make: Make, mark: bytes | None) -> None:
    rig = make()
    items: list[Item] = [9, *([mark] if mark else []), BAD, insert(1)]
    assert stopped(rig, items).position == rig.stored.position == START + 9 + len(mark or b"")
    assert (rig.numbers, rig.stored.fence == ()) == ([], mark is None)


def test_a_transaction_is_taken_back_whole_where_the_wire_tells_that_it_is_one(make: Make) -> None:
    """Its records are v2, and BEGIN is skipped in front of them."""
    rig = make()
    body = [inside("INSERT INTO t VALUES (2)"), inside("INSERT INTO nowhere VALUES (3)")]
    error = stopped(rig, [insert(1), 14, *body, 15, insert(4)])
    assert rig.numbers == [1]
    assert rig.stored.position == START + length_of(insert(1), 14)
    assert error.position == rig.stored.position + len(body[0])
    run_sql(rig.database, "CREATE TABLE nowhere (x)")
    rig.apply([*body, 15, insert(4)])
    assert rig.numbers == [1, 2, 4]


def test_a_record_that_is_refused_only_at_the_commit_is_found_too(make: Make) -> None:
    """Some targets hand all records on when they commit, and count over all that they were given."""
    rig = make(LateTarget)
    error = stopped(rig, [insert(1), encode_checkpoint(0), insert(2)], [encode_checkpoint(0), BAD, insert(3)])
    assert error.position == START + length_of(insert(1), insert(2)) + 2 * len(encode_checkpoint(0))
    assert rig.numbers == [1, 2]
    rig = make(LateTarget, keep_refused=True)
    rig.apply([BAD, insert(3)], [insert(4), BAD])
    assert rig.numbers == [1, 2, 3, 4]
    assert len(rig.skipped()) == 2


class LateTarget(SqliteTarget):
    """A target that hands records on when it commits."""

    def begin(self) -> None:
        super().begin()
        self.late: list[tuple[bytes, RecordType | None]] = []

    def execute(
        self, statements: Sequence[bytes], types: Mapping[int, RecordType] = {}, rows: bool = False
    ) -> None:
        self.late += [(sql, types.get(index)) for index, sql in enumerate(statements)]

    def commit(self, state: SubscriptionState) -> None:
        for index, (sql, kind) in enumerate(self.late):
            try:
                super().execute([sql], {} if kind is None else {0: kind})
            except StatementRefused as refused:
                raise StatementRefused(index, sql, refused.reason) from refused
        super().commit(state)


def test_a_target_that_changes_meanwhile_is_named_and_nothing_is_kept(make: Make) -> None:
    class Moody(SqliteTarget):
        calls = 0

        def execute(
            self, statements: Sequence[bytes], types: Mapping[int, RecordType] = {}, rows: bool = False
        ) -> None:
            self.calls += 1
            if self.calls == 2:
                raise StatementRefused(0, statements[0], "another mood")
            super().execute(statements, types)

    rig = make(Moody)
    with pytest.raises(EngineFailed, match="changes while records are applied: another mood"):
        rig.apply([insert(1), BAD])
    assert rig.stored == rig.applier.state == SubscriptionState(("p",), START, START)
    assert rig.numbers == []


# -- putting aside, skipping --------------------------------------------------------------------------------


def test_with_on_error_skip_refused_records_are_put_aside_and_the_others_go_on(
    make: Make, logged: list[str]
) -> None:
    rig = make(keep_refused=True)
    alone = inside("INSERT INTO elsewhere VALUES (2)")
    state = rig.apply([insert(1), BAD, 14, inside("INSERT INTO t VALUES (2)"), alone], [BAD, insert(3)], [BAD, 6])
    positions = [
        START + length_of(insert(1)),
        START + length_of(insert(1), BAD, 14, inside("INSERT INTO t VALUES (2)")),
        START + length_of(insert(1), BAD, 14, inside("INSERT INTO t VALUES (2)"), alone),
        START + length_of(insert(1), BAD, 14, inside("INSERT INTO t VALUES (2)"), alone, BAD, insert(3)),
    ]
    assert rig.numbers == [1, 2, 3]
    assert rig.skipped() == list(zip(positions, [BAD, alone, BAD, BAD], strict=True))
    assert {reason for (reason,) in rig.skipped("reason")} == {
        "no such table: nowhere",
        "no such table: elsewhere",
    }
    assert state == rig.stored
    assert state.position == positions[-1] + len(BAD) + 6
    assert state.fence[-1] == FenceRecord(positions[-1], crc32(BAD))
    assert len([line for line in logged if "refused and put aside" in line]) == 4
    assert {**rig.target.statistics(), "statements": 3, "skipped": 4} == rig.target.statistics()


def skip_of(position: int, record: bytes) -> SkipRequest:
    decoded = decode_record(record)
    assert decoded is not None
    return SkipRequest(position, decoded.crc)


@pytest.mark.parametrize("record", [BAD, *FORMS.values()])
def test_a_record_is_passed_over_on_demand(make: Make, record: bytes, logged: list[str]) -> None:
    at = START + length_of(insert(1), 9)
    rig = make(skip=skip_of(at, record))
    state = rig.apply([insert(1), 9, record, insert(2)], [insert(3)])
    assert rig.numbers == [1, 2, 3]
    assert state.position == at + length_of(record, insert(2), insert(3))
    assert [line for line in logged if f"skipping the record at position {at}" in line]


def test_another_record_at_that_place_is_applied(make: Make, logged: list[str]) -> None:
    rig = make(skip=SkipRequest(START, 7))
    rig.apply([insert(1), insert(2)])
    assert rig.numbers == [1, 2]
    assert "skipping at 40" in logged[0]
    assert "it is applied" in logged[0]


def test_a_place_where_no_record_starts_changes_nothing(make: Make, logged: list[str]) -> None:
    rig = make(skip=SkipRequest(START + 1, 7))
    rig.apply([insert(1), insert(2)])
    assert (rig.numbers, logged) == ([1, 2], [])


def test_passing_one_over_and_stopping_at_the_next(make: Make) -> None:
    rig = make(skip=skip_of(START, BAD))
    error = stopped(rig, [BAD, insert(1), BAD, insert(2)])
    assert error.position == rig.stored.position == START + length_of(BAD, insert(1))
    assert rig.numbers == [1]


# -- a target that cannot store -------------------------------------------------------------------------------


def test_a_full_disk_keeps_nothing(make: Make) -> None:
    rig = make()
    rig.apply([insert(1)])
    before = rig.stored
    connection = rig.target._applier.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [inside(f"INSERT INTO t VALUES ({number})") for number in range(2, 2000)]
    for keep in (False, True):
        rig.applier._keep_refused = keep
        with pytest.raises(EngineFailed, match="cannot be written: database or disk is full"):
            rig.apply([insert(0)], many)
        assert rig.stored == rig.applier.state == before
        assert rig.numbers == [1]
    connection.execute("PRAGMA max_page_count = 100000")
    rig.apply([insert(0)], many)
    assert rig.numbers == list(range(2000))


def test_a_row_that_somebody_else_moves_is_an_error_of_its_own(make: Make) -> None:
    rig = make()
    run_sql(rig.database, "UPDATE spgrepl_subscriber SET position = position + 1")
    with pytest.raises(DatabaseLocked, match="not at the position where it was left"):
        rig.apply([insert(1)])
    assert rig.numbers == []
    run_sql(rig.database, "DELETE FROM spgrepl_subscriber")
    with pytest.raises(DatabaseLocked, match="it was dropped"):
        rig.apply([insert(1)])
    assert rig.numbers == []


def test_a_log_that_brings_nothing_is_warned_of(
    make: Make, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spgrepl.replica.subscribing.applier.QUIET_BYTES", 1000)
    rig = make()
    rig.apply([insert(1), 999 - len(insert(1)), STATUS])
    assert logged == []
    rig.apply([1, STATUS])
    rig.apply([998, STATUS])
    assert [text[:16] for text in logged] == ["nothing has come"]
    assert "in 1000 bytes of the master's log" in logged[0]
    rig.apply([2, STATUS])
    assert len(logged) == 2
    rig.apply([insert(2), 1, STATUS])
    assert len(logged) == 2

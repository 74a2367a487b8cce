"""Batches cut into units: what may be committed, whatever batches the log comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import transaction_targets
from spgrepl.wal import records
from spgrepl.wal.parser import RecordBatch, cut_records
from spgrepl.wal.records import RecordType
from spgrepl.wal.units import Control, MixedTransaction, Section, UnitCutter

INSERT = b"INSERT INTO t VALUES (1)"
UPDATE = b"UPDATE t SET a = 2"
DELETE = b"DELETE FROM t"


def batch(*log: bytes, position: int = 0) -> RecordBatch:
    """A batch of whole records, or of statements, which are put into records."""
    found, error = cut_records(b"".join(log), position)
    assert error is None
    return found


def v2(*statements: bytes) -> RecordBatch:
    """A batch of statements."""
    return batch(*map(records.encode_v2, statements))


def cut(found: RecordBatch, cutter: UnitCutter | None = None) -> list[Section]:
    """Cut a whole batch."""
    return (cutter or UnitCutter()).cut(found, len(found))


def shape(section: Section) -> tuple[list[bytes], int, bool]:
    """What most tests look at."""
    return section.work.statements, section.stop, section.complete


# -- transactions of one batch --------------------------------------------------------------------------------


def test_statements_outside_transactions_are_complete() -> None:
    (section,) = cut(v2(INSERT, b"CREATE TABLE u (a)", DELETE))
    assert shape(section) == ([INSERT, b"CREATE TABLE u (a)", DELETE], 3, True)


def test_a_whole_transaction_is_complete_without_its_begin_and_commit() -> None:
    (section,) = cut(v2(INSERT, b"BEGIN", UPDATE, b"COMMIT", DELETE))
    assert shape(section) == ([INSERT, UPDATE, DELETE], 5, True)
    assert [section.work.origin(index) for index in range(3)] == [0, 2, 4]


def test_a_rolled_back_transaction_leaves_nothing() -> None:
    log = v2(INSERT, b"BEGIN", UPDATE, b"CREATE PUBLICATION p", b"ROLLBACK", DELETE)
    (section,) = cut(log)
    assert shape(section) == ([INSERT, DELETE], 6, True)
    assert section.work.controls == []
    assert not section.rolled_back
    assert [section.work.origin(index) for index in range(2)] == [0, 5]


def test_origins_are_right_behind_a_rolled_back_transaction() -> None:
    table = b"CREATE TABLE u (a)"
    (section,) = cut(v2(INSERT, b"BEGIN", UPDATE, table, table, b"ROLLBACK", DELETE, DELETE, DELETE))
    assert shape(section) == ([INSERT, DELETE, DELETE, DELETE], 9, True)
    assert [section.work.origin(index) for index in range(4)] == [0, 6, 7, 8]


def test_savepoints_go_to_the_engine() -> None:
    log = [b"SAVEPOINT a", INSERT, b"ROLLBACK TO a", b"RELEASE a"]
    (section,) = cut(v2(b"BEGIN", *log, b"END"))
    assert shape(section) == (log, 6, True)


def test_an_open_transaction_is_a_section_of_its_own() -> None:
    cutter = UnitCutter()
    before, rest = cut(v2(INSERT, b"BEGIN", UPDATE, DELETE), cutter)
    assert shape(before) == ([INSERT], 1, True)
    assert shape(rest) == ([UPDATE, DELETE], 4, False)
    assert [rest.work.origin(index) for index in range(2)] == [2, 3]
    assert cutter.open


def test_an_open_transaction_at_the_front_is_the_only_section() -> None:
    (section,) = cut(v2(b"BEGIN", UPDATE))
    assert shape(section) == ([UPDATE], 2, False)


# -- transactions across batches ------------------------------------------------------------------------------


def test_the_end_of_an_open_transaction_is_committed_for_itself() -> None:
    cutter = UnitCutter()
    cut(v2(b"BEGIN", INSERT), cutter)
    (middle,) = cut(v2(UPDATE), cutter)
    assert shape(middle) == ([UPDATE], 1, False)
    end, rest = cut(v2(DELETE, b"COMMIT", INSERT), cutter)
    assert shape(end) == ([DELETE], 2, True)
    assert not end.rolled_back
    assert shape(rest) == ([INSERT], 3, True)
    assert not cutter.open


def test_the_rollback_of_an_open_transaction_says_so() -> None:
    cutter = UnitCutter()
    cut(v2(b"BEGIN", INSERT), cutter)
    end, rest, opened = cut(v2(UPDATE, b"ROLLBACK", INSERT, b"BEGIN", DELETE), cutter)
    assert shape(end) == ([], 2, True)
    assert end.rolled_back
    assert shape(rest) == ([INSERT], 3, True)
    assert not rest.rolled_back
    assert shape(opened) == ([DELETE], 5, False)
    assert cutter.open


def test_a_transaction_may_begin_right_behind_the_end_of_another() -> None:
    cutter = UnitCutter()
    cut(v2(b"BEGIN", INSERT), cutter)
    end, opened = cut(v2(b"COMMIT", b"BEGIN", DELETE), cutter)
    assert shape(end) == ([], 1, True)
    assert shape(opened) == ([DELETE], 3, False)


def test_reset_forgets_an_open_transaction() -> None:
    cutter = UnitCutter()
    cut(v2(b"BEGIN", INSERT), cutter)
    cutter.reset()
    assert not cutter.open
    (section,) = cut(v2(b"BEGIN", INSERT, b"COMMIT"), cutter)
    assert shape(section) == ([INSERT], 3, True)
    assert cutter.warnings == []


def test_only_the_first_records_are_taken() -> None:
    cutter = UnitCutter()
    (section,) = cutter.cut(v2(INSERT, UPDATE, b"BEGIN", DELETE), 2)
    assert shape(section) == ([INSERT, UPDATE], 2, True)
    assert not cutter.open


# -- oddities -------------------------------------------------------------------------------------------------


def test_a_second_begin_and_a_lone_end_are_warnings() -> None:
    cutter = UnitCutter()
    log = batch(*map(records.encode_v2, (b"COMMIT", b"BEGIN", b"BEGIN", b"COMMIT", b"ROLLBACK")), position=100)
    (section,) = cut(log, cutter)
    assert shape(section) == ([], 5, True)
    assert cutter.warnings == [
        "at position 100: COMMIT outside a transaction",
        f"at position {log.start_of(2)}: BEGIN inside a transaction",
        f"at position {log.start_of(4)}: ROLLBACK outside a transaction",
    ]


def test_records_without_sql_are_passed_over() -> None:
    (section,) = cut(
        batch(records.encode_checkpoint(0), records.encode_v2(INSERT), records.encode_anchor(1, 1, b""))
    )
    assert shape(section) == ([INSERT], 3, True)
    assert section.work.origin(0) == 1


def test_a_record_that_is_skipped_is_not_in_the_work() -> None:
    for skip in range(3):
        log = [INSERT, b"CREATE TABLE u (a)", DELETE]
        (section,) = UnitCutter().cut(v2(*log), 3, skip)
        assert section.work.statements == [sql for index, sql in enumerate(log) if index != skip]
        assert [section.work.origin(n) for n in range(2)] == [index for index in range(3) if index != skip]
        assert (section.stop, section.complete) == (3, True)


def test_types_stand_beside_their_statements() -> None:
    cutter = UnitCutter()
    before, rest = cut(
        batch(
            records.encode_v2(INSERT),
            records.encode_mysql(UPDATE),
            records.encode_v2(b"BEGIN"),
            records.encode_v2(INSERT),
            records.encode_timed(RecordType.TRANSACTION, 1, 1, DELETE + b";\n" + DELETE),
        ),
        cutter,
    )
    assert shape(before) == ([INSERT, UPDATE], 2, True)
    assert before.work.types == {1: RecordType.MYSQL}
    assert shape(rest) == ([INSERT, DELETE + b";\n" + DELETE], 5, False)
    assert rest.work.types == {1: RecordType.TRANSACTION}


def test_controls_keep_their_place_among_the_statements() -> None:
    publication, drop = b"CREATE PUBLICATION p", b"DROP PUBLICATION p"
    before, rest = cut(v2(INSERT, publication, UPDATE, b"BEGIN", INSERT, drop, DELETE))
    assert before.work.statements == [INSERT, UPDATE]
    assert before.work.controls == [Control(1, 1, publication)]
    assert rest.work.statements == [INSERT, DELETE]
    assert rest.work.controls == [Control(1, 5, drop)]


def test_a_control_among_others_in_its_record_is_left_to_the_engine() -> None:
    sql = b"CREATE PUBLICATION p; DELETE FROM t"
    for encode in (records.encode_v2, records.encode_mysql):
        (section,) = cut(batch(encode(sql), encode(b"SHOW PUBLICATIONS")))
        assert section.work.statements == [sql]
        assert section.work.controls == [Control(1, 1, b"SHOW PUBLICATIONS")]


# -- several statements in one record -------------------------------------------------------------------------


def test_a_record_may_hold_a_whole_transaction() -> None:
    whole = b"BEGIN; DELETE FROM t; COMMIT;"
    (section,) = cut(v2(INSERT, whole, b"begin; rollback"))
    assert shape(section) == ([INSERT, whole, b"begin; rollback"], 3, True)


def test_a_record_may_open_a_transaction_and_another_end_it() -> None:
    (section,) = cut(v2(b"BEGIN; " + INSERT, UPDATE, DELETE + b"; COMMIT"))
    assert shape(section) == ([INSERT, UPDATE, DELETE], 3, True)
    (section,) = cut(v2(b"BEGIN; " + INSERT, UPDATE, DELETE + b"; ROLLBACK"))
    assert shape(section) == ([], 3, True)


@pytest.mark.parametrize(
    ("before", "sql"),
    [
        (b"BEGIN", b"COMMIT; DELETE FROM t"),
        (b"BEGIN", b"COMMIT; BEGIN"),
        (b"BEGIN", b"DELETE FROM t; COMMIT; DELETE FROM t"),
        (b"BEGIN", b"BEGIN; DELETE FROM t; COMMIT"),
        (INSERT, b"DELETE FROM t; BEGIN"),
        (INSERT, b"DELETE FROM t; BEGIN; DELETE FROM t"),
    ],
)
def test_a_record_on_both_sides_of_an_end_is_refused(before: bytes, sql: bytes) -> None:
    with pytest.raises(MixedTransaction) as caught:
        cut(v2(before, UPDATE, sql, INSERT))
    assert caught.value.index == 2


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t VALUES ('; COMMIT; the end')",
        b"INSERT INTO t VALUES ('a'); -- ; COMMIT",
        b"CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM u; SELECT 1; END",
        b"INSERT INTO t VALUES ('\xff'); COMMIT",
    ],
)
def test_words_that_end_nothing(sql: bytes) -> None:
    cutter = UnitCutter()
    (section,) = cut(v2(b"BEGIN", sql), cutter)
    assert section.work.statements == [sql.removesuffix(b"; -- ; COMMIT")]
    assert cutter.open


def test_a_record_of_the_mysql_dialect_is_one_statement() -> None:
    # A backslash ends no string there, so that SQLite's splitter would see an end where none is.
    sql = rb"INSERT INTO t VALUES ('it\'s; COMMIT; ')"
    cutter = UnitCutter()
    (section,) = cut(batch(records.encode_v2(b"BEGIN"), records.encode_mysql(sql)), cutter)
    assert section.work.statements == [sql]
    assert cutter.open


# -- all SQL, for engines without rows ------------------------------------------------------------------------


def test_every_statement_is_kept_where_that_is_asked_for() -> None:
    log = [INSERT, b"BEGIN", UPDATE, b"CREATE PUBLICATION p", b"ROLLBACK", b"COMMIT; BEGIN", DELETE]
    cutter = UnitCutter(every=True)
    sections = cut(v2(*log), cutter)
    assert [sql for section in sections for sql in section.work.statements] == log
    assert not any(section.work.controls for section in sections)


def test_every_statement_is_kept_with_its_origin() -> None:
    cutter = UnitCutter(every=True)
    before, rest = cut(
        batch(
            records.encode_v2(INSERT),
            records.encode_checkpoint(0),
            records.encode_v2(UPDATE),
            records.encode_v2(b"BEGIN"),
            records.encode_checkpoint(0),
            records.encode_v2(DELETE),
        ),
        cutter,
    )
    assert shape(before) == ([INSERT, UPDATE], 3, True)
    assert [before.work.origin(index) for index in range(2)] == [0, 2]
    assert shape(rest) == ([b"BEGIN", DELETE], 6, False)
    assert [rest.work.origin(index) for index in range(2)] == [3, 5]


# -- any log, in any batches ----------------------------------------------------------------------------------


def reference(log: list[bytes]) -> list[bytes]:
    """What is committed of a log of single statements, by the letter of the protocol."""
    committed: list[bytes] = []
    pending: list[bytes] | None = None
    for sql in log:
        if sql == b"BEGIN":
            pending = [] if pending is None else pending
        elif sql in (b"COMMIT", b"ROLLBACK"):
            committed += pending or [] if sql == b"COMMIT" else []
            pending = None
        elif pending is None:
            committed.append(sql)
        else:
            pending.append(sql)
    return committed


WORDS = st.sampled_from(
    [b"BEGIN", b"COMMIT", b"ROLLBACK", b"BEGIN", INSERT, UPDATE, b"SAVEPOINT a", b"CREATE PUBLICATION p"]
)


@given(st.lists(WORDS, min_size=1, max_size=30), st.integers(1, 10))
def test_what_is_committed_does_not_depend_on_the_batches(log: list[bytes], size: int) -> None:
    encoded = list(map(records.encode_v2, log))
    for step in (1, size, len(log)):
        assert transaction_targets.committed(encoded, step) == (reference(log), None)


@given(st.binary(max_size=60))
def test_records_of_all_kinds_do_not_depend_on_the_batches(data: bytes) -> None:
    transaction_targets.units(data)

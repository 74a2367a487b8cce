"""Batches cut into units: what may be committed, whatever batches the log comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import transaction_targets
from spgrepl.log.format import records
from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.format.records import RecordType
from spgrepl.log.transactions import units
from spgrepl.log.transactions.groups import merge
from spgrepl.log.transactions.units import UnitCutter
from spgrepl.log.transactions.work import Control, NotFollowed, Section
from tests.log.transactions.reference import effects

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
    assert not section.undo
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
    assert not end.undo
    assert shape(rest) == ([INSERT], 3, True)
    assert not cutter.open


def test_the_rollback_of_an_open_transaction_says_so() -> None:
    cutter = UnitCutter()
    cut(v2(b"BEGIN", INSERT), cutter)
    end, rest, opened = cut(v2(UPDATE, b"ROLLBACK", INSERT, b"BEGIN", DELETE), cutter)
    assert shape(end) == ([], 2, True)
    assert end.undo
    assert shape(rest) == ([INSERT], 3, True)
    assert not rest.undo
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
    log = batch(
        *map(records.encode_v2, (b"COMMIT", b"BEGIN", b"BEGIN", b"COMMIT", b"COMMIT", b"ROLLBACK")), position=100
    )
    (section,) = cut(log, cutter)
    assert shape(section) == ([], 6, True)
    assert cutter.warnings == [
        "at position 100: COMMIT outside a transaction",
        f"at position {log.start_of(2)}: BEGIN inside a transaction",
        f"at position {log.start_of(5)}: ROLLBACK outside a transaction",
    ]
    assert (section.tally.commits, section.tally.rollbacks) == (1, 1)


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
            records.encode_mysql(DELETE),
        ),
        cutter,
    )
    assert shape(before) == ([INSERT, UPDATE], 2, True)
    assert before.work.types == {1: RecordType.MYSQL}
    assert shape(rest) == ([INSERT, DELETE], 5, False)
    assert rest.work.types == {1: RecordType.MYSQL}
    (whole,) = cut(batch(records.encode_timed(RecordType.TRANSACTION, 1, 1, DELETE + b";\n" + DELETE)))
    assert whole.work.types == {0: RecordType.TRANSACTION}


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
    with pytest.raises(NotFollowed, match="holds statements outside") as caught:
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
    assert section.work.statements == [sql]
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
    (every,) = cut(
        batch(
            records.encode_v2(INSERT),
            records.encode_checkpoint(0),
            records.encode_v2(UPDATE),
            records.encode_v2(b"BEGIN"),
            records.encode_checkpoint(0),
            records.encode_v2(DELETE),
        ),
        UnitCutter(every=True),
    )
    assert shape(every) == ([INSERT, UPDATE, b"BEGIN", DELETE], 6, True)
    assert [every.work.origin(index) for index in range(4)] == [0, 2, 3, 5]


# -- transactions that are open at the same time ------------------------------------------------------------------


def test_what_was_committed_by_itself_does_not_wait() -> None:
    """The transaction around it is left out from there on, and read again from the log."""
    cutter = UnitCutter()
    log = batch(records.encode_v2(b"BEGIN"), records.encode_v2(INSERT), records.encode_statement(UPDATE))
    (section,) = cut(log, cutter)
    assert shape(section) == ([UPDATE], 3, True)
    assert (section.opened_by, section.tally.alone) == (0, 1)
    (end,) = cut(v2(DELETE, b"COMMIT", INSERT), cutter)
    assert shape(end) == ([INSERT], 3, True)
    (settled,) = end.work.settled
    assert (settled.before, settled.record, settled.group.opened_by, settled.group.held) == (0, 1, 0, 2)
    assert end.opened_by is None


def test_what_the_engine_had_of_a_transaction_is_undone_when_it_is_not_alone_any_more() -> None:
    cutter = UnitCutter()
    (streamed,) = cut(v2(b"BEGIN", INSERT), cutter)
    assert not streamed.complete
    (section,) = cut(v2(UPDATE, b"BEGIN", DELETE), cutter)
    assert shape(section) == ([], 3, True)
    assert section.undo
    assert section.opened_by == 0
    assert cutter.walk.group is not None
    assert cutter.walk.group.open == 2


@pytest.mark.parametrize(("ends", "count"), [((b"COMMIT", b"END"), 1), ((b"ROLLBACK", b"ABORT"), 0)])
def test_equal_ends_are_exact(ends: tuple[bytes, bytes], count: int) -> None:
    (section,) = cut(v2(b"BEGIN", INSERT, b"START TRANSACTION", UPDATE, ends[0], DELETE, ends[1]))
    assert (shape(section), section.opened_by) == (([], 7, True), None)
    assert len(section.work.settled) == count


@pytest.mark.parametrize("ends", [(b"COMMIT", b"ROLLBACK"), (b"ROLLBACK", b"COMMIT")])
def test_different_ends_are_a_named_fault_and_never_a_guess(ends: tuple[bytes, bytes]) -> None:
    log = v2(b"BEGIN", INSERT, b"BEGIN", ends[0], ends[1])
    with pytest.raises(NotFollowed) as caught:
        cut(log)
    assert caught.value.index == 4
    ambiguous = caught.value.ambiguous
    assert ambiguous is not None
    assert (ambiguous.position, ambiguous.begin) == (log.start_of(4), 0)
    assert "2 transactions were open at the same time from position 0 on (1 committed, 1 rolled back" in str(
        ambiguous
    )
    (merged,) = cut(log, UnitCutter(judge=merge))
    assert (len(merged.work.settled), merged.tally.merged) == (1, 1)


def test_different_ends_do_not_matter_where_nothing_waits() -> None:
    log = batch(
        *map(records.encode_v2, (b"BEGIN", b"BEGIN", b"COMMIT")),
        records.encode_statement(INSERT),
        records.encode_v2(b"ROLLBACK"),
    )
    (section,) = cut(log)
    assert shape(section) == ([INSERT], 5, True)


def test_commit_and_chain_opens_the_next_transaction() -> None:
    cutter = UnitCutter()
    log = v2(b"BEGIN", INSERT, b"COMMIT AND CHAIN", UPDATE)
    (section,) = cut(log, cutter)
    assert shape(section) == ([INSERT], 4, True)
    assert section.opened_by == log.start_of(2)
    again = UnitCutter()
    again.reset(section.opened_by)
    again.skim(batch(log.data[log.start_of(2) :], position=log.start_of(2)))
    for one in (cutter, again):
        (end,) = cut(v2(b"ROLLBACK AND NO CHAIN", DELETE), one)
        assert shape(end) == ([DELETE], 2, True)
        assert (end.work.settled, end.tally.commits, end.opened_by) == ([], 0, None)


def test_savepoints_of_several_are_clear_only_while_one_is_open() -> None:
    texts = (b"BEGIN", b"SAVEPOINT a", INSERT, b"BEGIN", UPDATE, b"ROLLBACK TO a", b"COMMIT", b"COMMIT")
    with pytest.raises(NotFollowed, match="one went back to a savepoint at") as caught:
        cut(v2(*texts))
    assert "one went back to a savepoint at" in str(caught.value.ambiguous)
    # All of it was rolled back: who went back to what does not matter.
    (section,) = cut(v2(*texts[:-2], b"ROLLBACK", b"ROLLBACK"))
    assert section.work.settled == []
    # The other one has ended.
    (section,) = cut(
        v2(b"BEGIN", INSERT, b"BEGIN", b"COMMIT", b"SAVEPOINT a", UPDATE, b"ROLLBACK TO a", DELETE, b"COMMIT")
    )
    (settled,) = section.work.settled
    assert len(settled.revoked) == 1


def test_a_transaction_of_many_savepoints_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database gets as many as it should hold; of one more all is undone, and comes without any at the end."""
    monkeypatch.setattr(units, "MOST_SAVEPOINTS", 2)
    savepoints = [INSERT, b"SAVEPOINT a", INSERT, b"SAVEPOINT b", UPDATE]
    most = v2(b"BEGIN", *savepoints, b"RELEASE b", b"SAVEPOINT b", b"COMMIT")
    (section,) = cut(most)
    assert shape(section) == ([*savepoints, b"RELEASE b", b"SAVEPOINT b"], 9, True)
    cutter = UnitCutter()
    first = v2(b"BEGIN", *savepoints)
    (section,) = cut(first, cutter)
    assert shape(section) == (savepoints, 6, False)
    more = batch(
        *map(records.encode_v2, (b"SAVEPOINT c", DELETE, b"ROLLBACK TO b", b"COMMIT")), position=first.end
    )
    (section,) = cut(more, cutter)
    assert section.undo
    assert shape(section) == ([], 4, True)
    (settled,) = section.work.settled
    assert settled.group.begin == 0
    assert [(one.start, one.end) for one in settled.revoked] == [(first.start_of(4), more.start_of(3))]


# -- any log, in any batches ----------------------------------------------------------------------------------


WORDS = st.tuples(
    st.sampled_from([b"BEGIN", b"COMMIT", b"ROLLBACK", b"BEGIN", INSERT, UPDATE, b"CREATE PUBLICATION p"]),
    st.booleans(),
)


@given(st.lists(WORDS, min_size=1, max_size=30), st.integers(1, 10))
def test_what_is_committed_does_not_depend_on_the_batches(log: list[tuple[bytes, bool]], size: int) -> None:
    expected = effects(log)
    encoded = [records.encode_statement(sql) if alone else records.encode_v2(sql) for sql, alone in log]
    for step in (1, size, len(log)):
        committed, refused = transaction_targets.committed(encoded, step)
        assert committed == [log[index][0] for index in expected.order]
        assert refused == expected.ambiguous


@given(st.binary(max_size=60))
def test_records_of_all_kinds_do_not_depend_on_the_batches(data: bytes) -> None:
    transaction_targets.units(data)

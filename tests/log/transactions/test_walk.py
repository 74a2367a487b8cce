"""Following the transactions of a log: where they begin and end, and what was taken back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import RecordError
from spgrepl.log.format.parser import RecordBatch, cut_records
from spgrepl.log.format.records import RecordType, encode_checkpoint, encode_mysql, encode_timed, encode_v2
from spgrepl.log.transactions import savepoints
from spgrepl.log.transactions import walk as transaction_walk
from spgrepl.log.transactions.groups import Revoked
from spgrepl.log.transactions.walk import TransactionWalk, first_step
from spgrepl.log.transactions.words import StatementKind

ROW = "INSERT INTO t VALUES (1)"


def batch(*texts: str | bytes, position: int = 0) -> RecordBatch:
    """A batch of statements in v2 records, or of whole records."""
    log = b"".join(text if isinstance(text, bytes) else encode_v2(text.encode()) for text in texts)
    found, error = cut_records(log, position)
    assert error is None
    return found


def walked(*texts: str | bytes) -> tuple[TransactionWalk, RecordBatch]:
    found = batch(*texts)
    walk = TransactionWalk()
    assert walk.walk(found) == len(found)
    return walk, found


def kept(*texts: str) -> list[int]:
    """The indices of the rows that took effect; those of a transaction that is open count."""
    walk, found = walked(*texts)
    starts = [found.start_of(index) for index in range(len(found))]
    return [
        index
        for index, text in enumerate(texts)
        if text.startswith("INSERT") and not any(one.start <= starts[index] < one.end for one in walk.revoked)
    ]


# -- where transactions begin and end ---------------------------------------------------------------------------


def test_a_transaction_is_open_until_its_end() -> None:
    walk = TransactionWalk()
    first = batch(ROW, "BEGIN", ROW)
    walk.walk(first)
    assert walk.begin == first.start_of(1)
    second = batch(ROW, "COMMIT", ROW, position=first.end)
    walk.walk(second)
    assert (walk.begin, walk.revoked) == (None, [])


@pytest.mark.parametrize("end", ["COMMIT", "END", "commit;", "ROLLBACK", "abort", "/* so */ ROLLBACK"])
def test_walking_may_stop_at_the_end(end: str) -> None:
    walk = TransactionWalk()
    assert walk.walk(batch("BEGIN", ROW)) == 2
    assert walk.walk(batch(ROW, end, ROW, "BEGIN", ROW), until_closed=True) == 2
    assert walk.begin is None


def test_what_is_no_transaction_is_not_looked_at() -> None:
    assert (
        walked(ROW, encode_checkpoint(0), "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END")[0].begin
        is None
    )
    assert walked("COMMIT", "ROLLBACK", "ROLLBACK TO a", "RELEASE a", ROW)[0].revoked == []


def test_a_second_begin_and_a_begin_behind_a_savepoint() -> None:
    walk, found = walked("BEGIN", ROW, "BEGIN", ROW)
    assert walk.begin == found.start_of(0)
    walk, found = walked("SAVEPOINT a", ROW, "BEGIN", ROW)
    assert walk.begin == found.start_of(2)


def test_a_savepoint_alone_is_a_transaction() -> None:
    walk, found = walked("SAVEPOINT a", "SAVEPOINT b", ROW, "RELEASE b", ROW)
    assert walk.begin == found.start_of(0)
    assert walked("SAVEPOINT a", ROW, "RELEASE a")[0].begin is None
    assert walked("BEGIN", "SAVEPOINT a", ROW, "RELEASE a")[0].begin == 0


# -- what is taken back -----------------------------------------------------------------------------------------


def test_a_rollback_takes_all_back_and_itself() -> None:
    walk, found = walked(ROW, "BEGIN", ROW, ROW, "ROLLBACK", ROW)
    assert walk.revoked == [Revoked(found.start_of(1), found.start_of(5))]


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        (["BEGIN", ROW, "SAVEPOINT a", ROW, "ROLLBACK TO a", ROW, "COMMIT"], [1, 5]),
        (["BEGIN", "SAVEPOINT a", ROW, "SAVEPOINT a", ROW, "ROLLBACK TO a", ROW, "ROLLBACK TO a", "COMMIT"], [2]),
        (["BEGIN", "SAVEPOINT a", ROW, "SAVEPOINT b", ROW, "ROLLBACK TO A", "ROLLBACK TO a", ROW, "COMMIT"], [7]),
        (["BEGIN", "SAVEPOINT a", ROW, "RELEASE a", ROW, "COMMIT"], [2, 4]),
        (["BEGIN", "SAVEPOINT a", ROW, "SAVEPOINT a", ROW, "RELEASE a", "ROLLBACK TO a", ROW], [7]),
        (["BEGIN", ROW, 'SAVEPOINT "A b"', ROW, 'ROLLBACK TRANSACTION TO SAVEPOINT "a B";', "COMMIT"], [1]),
        (["BEGIN", ROW, "SAVEPOINT a", ROW, "ROLLBACK TO a", ROW, "ROLLBACK"], []),
        (["BEGIN", "SAVEPOINT a", ROW, "ROLLBACK TO a", "COMMIT", "BEGIN", ROW, "COMMIT"], [6]),
    ],
)
def test_savepoints(texts: list[str], rows: list[int]) -> None:
    assert kept(*texts) == rows


def test_ranges_rise_and_do_not_overlap() -> None:
    walk, _ = walked(
        "BEGIN", "SAVEPOINT a", ROW, "ROLLBACK TO a", ROW, "ROLLBACK TO a", ROW, "ROLLBACK", "BEGIN", ROW, "ABORT"
    )
    assert len(walk.revoked) == 2
    assert walk.revoked[0].end <= walk.revoked[1].start


def test_a_savepoint_that_was_set_before_the_walk_began() -> None:
    """Whoever begins inside a transaction has not seen it: all since then was behind that savepoint."""
    found = batch(ROW, "ROLLBACK TO a", ROW, "RELEASE a", "COMMIT", ROW, position=500)
    walk = TransactionWalk(begin=500)
    assert walk.walk(found, until_closed=True) == 5
    assert walk.revoked == [Revoked(500, found.start_of(2))]


@pytest.mark.parametrize(
    ("bound", "name", "message"),
    [
        ("MAX_SAVEPOINTS", "same", "more than 3 savepoints are set at once"),
        ("MAX_NAMES", "s{}", "savepoints of more than 3 names are set at once"),
    ],
)
def test_savepoints_are_limited(monkeypatch: pytest.MonkeyPatch, bound: str, name: str, message: str) -> None:
    monkeypatch.setattr(savepoints, bound, 3)
    found = batch("BEGIN", *(f"SAVEPOINT {name.format(number)}" for number in range(4)))
    with pytest.raises(RecordError, match=message) as error:
        TransactionWalk().walk(found)
    assert error.value.position == found.start_of(4)
    released = [f"SAVEPOINT {name.format(0)}", f"RELEASE {name.format(0)}"] * 5
    TransactionWalk().walk(batch("BEGIN", *(f"SAVEPOINT {name.format(number)}" for number in range(2)), *released))
    TransactionWalk().walk(batch("BEGIN", *(f"SAVEPOINT {name.format(number)}" for number in range(3)), "COMMIT"))


def test_savepoints_by_the_ten_thousand() -> None:
    """A driver that sets one before each statement, and one that gives each another name."""
    for name in ("autosave", "s{}"):
        texts = [text for number in range(10_001) for text in (f"SAVEPOINT {name.format(number)}", ROW)]
        found = batch("BEGIN", *texts, f"ROLLBACK TO {name.format(10_000)}", "COMMIT", ROW)
        walk = TransactionWalk()
        walk.walk(found)
        assert walk.begin is None
        assert walk.revoked == [Revoked(found.start_of(20_001), found.start_of(20_004))]


@pytest.mark.parametrize(
    ("name", "same"),
    [("'a'", "a"), ("'A'", "a"), ('"a"', "A"), ("[a]", "'a'"), ("'it''s'", '"it\'s"'), ("Äa", "ÄA")],
)
def test_a_savepoints_name_may_be_written_as_a_string(name: str, same: str) -> None:
    found = batch("BEGIN", ROW, f"SAVEPOINT {name}", ROW, f"ROLLBACK TO {same}", "COMMIT")
    walk = TransactionWalk()
    walk.walk(found)
    assert walk.revoked == [Revoked(found.start_of(2), found.start_of(5))]


def test_letters_beyond_ascii_make_another_savepoint() -> None:
    found = batch("BEGIN", "SAVEPOINT ä", ROW, "SAVEPOINT Ä", ROW, "ROLLBACK TO ä", "COMMIT")
    walk = TransactionWalk()
    walk.walk(found)
    assert walk.revoked == [Revoked(found.start_of(1), found.start_of(6))]


# -- records of several statements ------------------------------------------------------------------------------


def test_a_record_that_is_a_whole_transaction_is_as_any_other() -> None:
    walk, _ = walked("BEGIN; INSERT INTO t VALUES (1); COMMIT", ROW)
    assert (walk.begin, walk.revoked) == (None, [])
    several = encode_timed(RecordType.TRANSACTION, 7, None, b"INSERT INTO t VALUES (1);\nDELETE FROM t")
    assert walked("BEGIN", several, "ROLLBACK")[0].revoked == [Revoked(0, batch("BEGIN", several, "ROLLBACK").end)]


def test_a_record_may_begin_or_end_a_transaction_beside_a_row() -> None:
    walk, found = walked("BEGIN; INSERT INTO t VALUES (1)", ROW)
    assert walk.begin == 0
    assert walk.walk(batch("INSERT INTO t VALUES (2); COMMIT", position=found.end)) == 1
    assert walk.begin is None


def test_the_dialect_of_mysql_is_one_statement_whatever_its_strings_hold() -> None:
    walk, _ = walked("BEGIN", encode_mysql(b"INSERT INTO t VALUES ('it\\'s; COMMIT; ')"), ROW)
    assert walk.begin == 0


@pytest.mark.parametrize("text", ["COMMIT; INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1); BEGIN"])
def test_a_record_on_both_sides_of_an_end_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match="at position 13: one record both begins or ends a transaction"):
        TransactionWalk().walk(batch("BEGIN", text))


# -- the first look ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ([ROW, "BEGIN", "COMMIT"], StatementKind.BEGIN),
        ([ROW, ROW, "COMMIT"], StatementKind.COMMIT),
        (["ROLLBACK TO a"], StatementKind.ROLLBACK_TO),
        ([ROW, "SET x = 1", encode_checkpoint(0)], None),
        (["INSERT INTO t VALUES (1); COMMIT"], StatementKind.COMMIT),
    ],
)
def test_the_first_step_tells_on_which_side_one_is(texts: list[str | bytes], kind: StatementKind | None) -> None:
    assert first_step(batch(*texts)) is kind


# -- the same as SQLite's -----------------------------------------------------------------------------------------

words = st.sampled_from(
    [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "SAVEPOINT b",
        "ROLLBACK TO a",
        "RELEASE a",
        "RELEASE B",
        *[ROW] * 4,
    ]
)


def run_in_sqlite(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """The statements that SQLite takes, and which of them left a row behind, the open transaction's among them."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
        taken: list[str] = []
        for text in texts:
            try:
                connection.execute(text.replace("(1)", f"({len(taken)})"))
            except sqlite3.Error:
                continue
            taken.append(text)
        return taken, [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]


@given(st.lists(words, max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_what_took_effect_is_what_sqlite_keeps(texts: list[str], cuts: list[int]) -> None:
    taken, rows = run_in_sqlite(texts)
    assert kept(*taken) == rows
    whole, _ = walked(*taken)
    walk, position = TransactionWalk(), 0
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), len(taken)], strict=True):
        piece = batch(*taken[low:high], position=position)
        walk.walk(piece)
        position = piece.end if low < high else position
    assert (walk.begin, walk.revoked) == (whole.begin, whole.revoked)


def test_stretches_that_are_rolled_back_are_bounded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transaction_walk, "MAX_REVOKED", 3)
    once = (ROW, "SAVEPOINT a", ROW, "ROLLBACK TO a", "RELEASE a")
    # Those of other transactions do not count.
    walked("BEGIN", *once * 3, "COMMIT", "BEGIN", *once * 3)
    with pytest.raises(RecordError, match="more than 3 stretches of the log are rolled back to savepoints"):
        walked("BEGIN", *once * 4)
    walked("BEGIN", *once * 3, "ROLLBACK", "BEGIN", *once * 3)
    # What follows without a gap is one.
    walk, _ = walked("BEGIN", *("SAVEPOINT a", ROW, "ROLLBACK TO a") * 9, "COMMIT")
    assert len(walk.revoked) == 1
    back = ("SAVEPOINT a", ROW, "ROLLBACK TO a", "SAVEPOINT b", ROW, "ROLLBACK TO b", ROW, "ROLLBACK TO b")
    walk, _ = walked("BEGIN", ROW, *back, "COMMIT")
    assert len(walk.revoked) == 1

"""What is odd in a log, and what there is to count in it."""

from __future__ import annotations

from spgrepl.log.format.records import encode_checkpoint
from spgrepl.log.transactions.groups import Group
from spgrepl.log.watch import LogWarning, LogWatch, TransactionCounts
from tests.log.transactions.batches import alone, batch

ROW = "INSERT INTO t VALUES (1)"


def watched(*texts: str | bytes, base: int = 0, most: int = 10) -> LogWatch:
    watch = LogWatch(base, most)
    watch.saw(batch(*texts))
    return watch


def test_a_plain_log_has_nothing_odd() -> None:
    watch = watched(ROW, "BEGIN", ROW, "COMMIT", "BEGIN", ROW, "ROLLBACK", ROW)
    assert (watch.records, watch.warnings, watch.open_transaction) == (8, [], None)
    assert watch.counts() == TransactionCounts(begun=2, committed=1, rolled_back=1, most_open=1)


def test_what_is_open_is_named_and_what_waits_is_counted() -> None:
    watch = watched(ROW, "BEGIN", ROW, ROW, alone(ROW))
    assert watch.open_transaction == batch(ROW).end
    assert watch.counts() == TransactionCounts(begun=1, most_open=1, held=2, inside=1)


def test_counts_go_from_batch_to_batch() -> None:
    watch, first = LogWatch(0, 10), batch("BEGIN", alone(ROW))
    watch.saw(first)
    watch.saw(batch(ROW, "COMMIT", position=first.end))
    assert watch.records == 4
    assert watch.counts() == TransactionCounts(begun=1, committed=1, most_open=1, inside=1)


def test_a_checkpoint_that_states_another_place() -> None:
    assert watched(ROW, encode_checkpoint(batch(ROW).end)).warnings == []
    assert watched(encode_checkpoint(500), base=500).warnings == []
    (warning,) = watched(encode_checkpoint(7)).warnings
    assert warning == LogWarning(0, "a checkpoint states position 7, it stands at 0")


def test_a_begin_inside_and_an_end_outside() -> None:
    watch = watched("BEGIN", "BEGIN", ROW, "COMMIT", "COMMIT", "ROLLBACK")
    assert [one.text for one in watch.warnings] == [
        "BEGIN inside the transaction that began at 0",
        "ROLLBACK outside of a transaction",
    ]
    assert watch.counts() == TransactionCounts(begun=2, committed=2, most_open=2, strays=1)


def test_ends_that_differ_are_a_warning_with_what_the_group_says() -> None:
    watch = watched("BEGIN", "BEGIN", ROW, "COMMIT", "ROLLBACK")
    assert watch.counts().ambiguous == 1
    group = Group(begin=0, opened_by=0, most=2, commits=1, rollbacks=1, held=1)
    assert group.describe() in [one.text for one in watch.warnings]


def test_a_record_on_both_sides_of_an_end_is_a_warning_and_its_end_counts() -> None:
    watch = watched("BEGIN", f"COMMIT; {ROW}")
    assert watch.open_transaction is None
    assert "both begins or ends a transaction" in watch.warnings[0].text
    assert watch.counts().committed == 1


def test_warnings_are_bounded_and_counted() -> None:
    watch = watched(*["COMMIT"] * 5, most=2)
    assert (len(watch.warnings), watch.warning_count) == (2, 5)

"""What is read of a log as values is what happened, wherever reading begins and however the log grows."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spgrepl.errors import (
    HistoryDiverged,
    LogTruncated,
    RecordChecksumMismatch,
    StartInsideRecord,
    StartLost,
    UsageError,
)
from spgrepl.feed.decoding import ChangeDecoder
from spgrepl.feed.keys import TableKeys
from spgrepl.feed.units import Content
from spgrepl.feed.values import Change, FeedKind, FeedPosition, FeedStart
from spgrepl.log.format import records
from spgrepl.log.format.records import RecordType
from spgrepl.primary.parts.requests import Request
from spgrepl.rows.changes import ChangeKind, RowChange
from spgrepl.rows.render import render
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from tests.feed.kit import Log, Receiver, texts
from tests.primary.copying import opened
from tests.replica.following.copies import log_of, quick_folder
from tests.rows.strategies import changes as row_changes
from tests.whole.comparing import dump
from tests.whole.generate import Generator
from tests.whole.nodes import assert_equal, set_up

# -- against what a primary did -------------------------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(chance=st.randoms(use_true_random=False))
def test_a_database_that_took_the_values_is_equal(chance: Random) -> None:
    generator = Generator(chance)
    with quick_folder() as folder, opened(folder, setup=set_up) as writer:
        log = Log(writer.paths.wal, writer.paths.database)
        receiver = Receiver(folder / "received.db")
        set_up(receiver.connection)
        stored: FeedPosition | FeedStart = FeedStart.BEGINNING
        for sql in generator.schema():
            writer.run([writer.request(sql)])
        for _ in range(chance.randint(1, 5)):
            if chance.random() < 0.2:
                writer.run([writer.request(generator.alter())])
            writer.run([writer.request(generator.change())])
            writer.run([Request(generator.transaction(), transaction=True)])
            for transaction in log.read(stored, part_size=chance.choice([1, 100, 10**6])):
                receiver.take(transaction)
            stored = FeedPosition.parse(str(log.position))
            assert stored.position == log.end
        receiver.connection.close()
        assert_equal(dump(folder / "received.db"), dump(writer.paths.database))


# -- what belongs together ------------------------------------------------------------------------------------


def log_with(path: Path, *statements: bytes | str, base: int = 0) -> Log:
    """A log of some records."""
    path.write_bytes(log_of(*statements))
    return Log(path, base=base)


def test_statements_are_told_by_their_text(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", "CREATE TABLE t (a)", "INSERT INTO t(a)VALUES(1)")
    first, second = log.read()
    assert first.changes == (Change(FeedKind.STATEMENT, statement="CREATE TABLE t (a)"),)
    assert second.changes == (Change(FeedKind.STATEMENT, statement="INSERT INTO t(a)VALUES(1)"),)
    assert (first.start, second.start, second.position.position) == (0, first.position.position, log.end)


def test_passwords_are_not_told(tmp_path: Path) -> None:
    table = "CREATE TABLE users (name TEXT, password TEXT DEFAULT 'none')"
    log = log_with(tmp_path / "log", "CREATE USER bob PASSWORD 's3cr3t'", table)
    user, users = log.read()
    assert user.changes == (Change(FeedKind.STATEMENT, statement="CREATE USER bob PASSWORD '***'"),)
    assert users.changes == (Change(FeedKind.STATEMENT, statement=table),)


def test_rows_are_told_by_their_values(tmp_path: Path) -> None:
    log = log_with(
        tmp_path / "log",
        ROWS_FROM_HERE,
        "BEGIN",
        "INSERT INTO t(id,a)VALUES(1,'x') /* origin 00000000000000ff */",
        "UPDATE t SET id=2,a=NULL WHERE id=1 /* origin 00000000000000ff */",
        "COMMIT",
        "DELETE FROM t WHERE id=2",
        "DELETE FROM t",
        "ANALYZE",
    )
    one, *others = log.read()
    assert one.changes == (
        Change(FeedKind.INSERT, "t", after={"id": 1, "a": "x"}, origin=255),
        Change(
            FeedKind.UPDATE,
            "t",
            ("id",),
            before={"id": 1},
            after={"id": 2, "a": None},
            changed=("id", "a"),
            origin=255,
        ),
    )
    assert one.origin == 255
    assert [other.changes[0] for other in others] == [
        Change(FeedKind.DELETE, "t", ("id",), before={"id": 2}),
        Change(FeedKind.CLEAR, "t"),
        Change(FeedKind.STATEMENT, statement="ANALYZE"),
    ]
    assert others[0].origin is None


@given(change=row_changes())
def test_any_row_is_told(change: RowChange) -> None:
    found = ChangeDecoder(TableKeys(None), rows=True).decode([Content(render(change))])[0]
    assert str(found.kind) == str(change.kind)
    assert (found.table, found.origin, found.one_of) == (change.table, change.origin, change.one_of)
    keyed = dict(zip(change.key, change.key_values, strict=True))
    given_values = dict(zip(change.columns, change.values, strict=True))
    if change.kind is ChangeKind.INSERT:
        assert repr(found.after) == repr(given_values)
    elif change.kind is not ChangeKind.CLEAR:
        assert (found.key, repr(found.before)) == (change.key, repr(keyed))


def test_an_insert_has_the_key_of_its_table(tmp_path: Path) -> None:
    with opened(
        tmp_path,
        "CREATE TABLE t (a, b, c, PRIMARY KEY (c, a))",
        "CREATE TABLE u (rowid, b)",
        "INSERT INTO t VALUES (1, 2, 3)",
        "INSERT INTO u VALUES (1, 2)",
    ) as writer:
        found = [change for one in Log(writer.paths.wal, writer.paths.database).read() for change in one.changes]
        assert [(change.table, change.key) for change in found[2:]] == [("t", ("c", "a")), ("u", ("_rowid_",))]


def test_what_was_rolled_back_is_not_told(tmp_path: Path) -> None:
    log = log_with(
        tmp_path / "log",
        "BEGIN",
        "INSERT INTO t VALUES (1)",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (2)",
        "ROLLBACK TO a",
        "INSERT INTO t VALUES (3)",
        "COMMIT",
        "BEGIN",
        "INSERT INTO t VALUES (4)",
        "ROLLBACK",
        "SAVEPOINT b",
        "INSERT INTO t VALUES (5)",
        "RELEASE b",
        "BEGIN; INSERT INTO t VALUES (6); INSERT INTO t VALUES (7); COMMIT",
        "BEGIN; INSERT INTO t VALUES (8); ROLLBACK",
        "BEGIN",
        "INSERT INTO t VALUES (9)",
    )
    expected = [
        ["INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (3)"],
        ["INSERT INTO t VALUES (5)"],
        ["INSERT INTO t VALUES (6)", "INSERT INTO t VALUES (7)"],
        ["BEGIN; INSERT INTO t VALUES (8); ROLLBACK"],
    ]
    assert texts(log.read()) == expected
    parts = [one for one in log.read(part_size=1) if one.start == 0]
    assert texts(parts) == [["INSERT INTO t VALUES (1)"], ["INSERT INTO t VALUES (3)"], []]
    assert [(one.number, one.complete, one.position.position) for one in parts[:2]] == [
        (0, False, 0),
        (1, False, 0),
    ]
    assert parts[2].complete
    assert parts[2].position == next(log.read()).position


def test_comments_are_not_told(tmp_path: Path) -> None:
    refused = "/* spgrepl: the disk refused what was written at positions 3 to 4; this stands there instead */"
    log = log_with(tmp_path / "log", refused, "/* a */ INSERT INTO t VALUES (1) -- b", "-- c", " ;", "ANALYZE")
    assert texts(log.read()) == [["/* a */ INSERT INTO t VALUES (1) -- b"], ["ANALYZE"]]
    assert log.position.position == log.end


def test_every_kind_of_record_is_read(tmp_path: Path) -> None:
    long = "INSERT INTO t VALUES ('" + "long " * 100 + "')"
    encoded = (
        records.encode_v1(b"INSERT INTO t VALUES (1)"),
        records.encode_statement(long.encode()),
        records.encode_checkpoint(0),
        records.encode_mysql(b"INSERT INTO `t` VALUES ('\\';')"),
        records.encode_timed(
            RecordType.TRANSACTION, 7, None, b"INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)"
        ),
    )
    assert encoded[1][8] == RecordType.COMPRESSED
    path = tmp_path / "log"
    path.write_bytes(b"".join(encoded))
    found = list(Log(path).read())
    assert texts(found) == [
        ["INSERT INTO t VALUES (1)"],
        [long],
        ["INSERT INTO `t` VALUES ('\\';')"],
        ["INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)"],
    ]
    assert [one.changes[0].mysql for one in found] == [False, False, True, False]


# -- from where, and how far ----------------------------------------------------------------------------------

SOME = (
    "CREATE TABLE t (a)",
    "BEGIN",
    "INSERT INTO t VALUES (1)",
    "INSERT INTO t VALUES (2)",
    "COMMIT",
    ROWS_FROM_HERE,
    "INSERT INTO t(a)VALUES(3)",
    "BEGIN",
    "INSERT INTO t(a)VALUES(4)",
    "DELETE FROM t WHERE a=3",
    "COMMIT",
)


@pytest.mark.parametrize("part_size", [1, 10**6])
def test_it_does_not_matter_where_reading_begins_and_where_the_log_ends(tmp_path: Path, part_size: int) -> None:
    log = log_with(tmp_path / "log", *SOME)
    everything = list(log.read(part_size=part_size))
    for at, one in enumerate(everything):
        if one.complete:
            assert list(log.read(one.position, part_size)) == everything[at + 1 :]
            assert list(log.read(one.position.position, part_size)) == everything[at + 1 :]
    for end in range(log.end):
        assert list(log.read(part_size=part_size, ends=range(0, end, 7))) == everything


def test_the_end_is_after_everything(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", *SOME)
    assert list(log.read(FeedStart.END)) == []
    assert log.position.position == log.end


def test_only_places_between_transactions_can_be_begun_at(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", *SOME)
    places = {0, log.end, *(one.start for one in log.read()), *(one.position.position for one in log.read())}
    begun = set()
    for position in range(log.end + 1):
        try:
            begun.add(log.find(position).position)
        except StartInsideRecord as error:
            assert error.position == position  # noqa: PT017
        except UsageError as error:
            assert "inside of the transaction" in str(error)  # noqa: PT017
    assert begun == places


def test_a_log_with_a_different_history_is_refused(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", *SOME)
    stored = [one.position for one in log.read()]
    log_with(tmp_path / "log", SOME[0], SOME[6], *SOME[1:])
    assert log.find(stored[0]) == stored[0]
    with pytest.raises(HistoryDiverged, match="different history"):
        log.find(stored[1])
    with pytest.raises(LogTruncated, match="truncated or replaced"):
        log.find(stored[1], end=stored[1].position - 1)


def test_a_log_that_begins_later_is_refused(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", *SOME, base=1000)
    assert next(log.read()).start == 1000
    with pytest.raises(StartLost, match="not there any more"):
        log.find(999)
    with pytest.raises(StartLost, match="cannot be told"):
        log.find(FeedPosition(1000, rows=True, compared_from=488, crc=0))
    assert log.find(FeedPosition(1000, rows=True, compared_from=1000, crc=0)).rows


def test_a_shorter_file_than_was_published_is_named(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", *SOME)
    with pytest.raises(LogTruncated, match="ends at position"):
        list(log.read(ends=[log.end + 1]))


def test_what_stands_before_damage_is_told(tmp_path: Path) -> None:
    log = log_with(tmp_path / "log", *SOME)
    content = bytearray(log.path.read_bytes())
    content[-3] ^= 1
    log.path.write_bytes(content)
    found = log.read()
    assert len([next(found) for _ in range(3)]) == 3
    with pytest.raises(RecordChecksumMismatch):
        next(found)


# -- positions as texts ---------------------------------------------------------------------------------------


@given(
    position=st.integers(0, 2**63 - 1),
    back=st.integers(0, 512),
    rows=st.booleans(),
    crc=st.integers(0, 2**32 - 1),
)
def test_a_position_is_read_from_its_text(position: int, back: int, rows: bool, crc: int) -> None:
    stored = FeedPosition(position, rows, max(0, position - back), crc)
    assert FeedPosition.parse(str(stored)) == stored


@pytest.mark.parametrize(
    "text", ["", "12", "1-r-0-0a1b2c3", "1-r-2-00000000", "1-x-0-00000000", f"{2**63}-r-0-00000000"]
)
def test_other_texts_are_no_positions(text: str) -> None:
    with pytest.raises(UsageError, match="position of a change feed"):
        FeedPosition.parse(text)

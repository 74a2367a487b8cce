"""What a record does to transactions."""

from __future__ import annotations

import pytest

from spgrepl.errors import RecordError
from spgrepl.log.format.records import RecordType, encode_checkpoint, encode_mysql, encode_timed, encode_v1
from spgrepl.log.transactions.steps import (
    Step,
    all_alone,
    contents_of,
    controls_of,
    is_alone,
    is_balanced,
    is_separable,
    pieces_of,
    records_to_look_at,
    stands_alone,
    steps_of,
)
from spgrepl.log.transactions.words import StatementKind
from tests.log.transactions.batches import alone, batch

K = StatementKind
ROW = "INSERT INTO t VALUES (1)"
PUBLISH = "CREATE PUBLICATION p FOR ALL TABLES"


def kinds(record: str | bytes, inside: bool = False) -> list[StatementKind]:
    return [step.kind for step in steps_of(batch(record), 0, inside)]


@pytest.mark.parametrize(
    ("record", "steps", "contents"),
    [
        (ROW, [], [ROW]),
        ("BEGIN", [K.BEGIN], []),
        ("COMMIT;", [K.COMMIT], []),
        ("ROLLBACK TO a", [K.ROLLBACK_TO], []),
        (PUBLISH, [], [PUBLISH]),
        (f"BEGIN; {ROW}", [K.BEGIN], [ROW]),
        (f"{ROW}; COMMIT", [K.COMMIT], [ROW]),
        (f"BEGIN; {ROW}; COMMIT", [], [ROW]),
        ("INSERT INTO t VALUES ('BEGIN; ')", [], ["INSERT INTO t VALUES ('BEGIN; ')"]),
    ],
)
def test_steps_and_contents(record: str, steps: list[StatementKind], contents: list[str]) -> None:
    assert kinds(record) == steps
    assert [one.strip(b"; ").decode() for one in contents_of(batch(record), 0)] == contents


def test_a_record_without_sql_does_nothing() -> None:
    found = batch(encode_checkpoint(0))
    assert steps_of(found, 0, True) == contents_of(found, 0) == controls_of(found, 0) == []


@pytest.mark.parametrize("record", [f"COMMIT; {ROW}", f"{ROW}; BEGIN", f"BEGIN; {ROW}; COMMIT; {ROW}; BEGIN"])
def test_what_is_on_both_sides_of_an_end_is_refused_with_its_place(record: str) -> None:
    with pytest.raises(RecordError, match="both begins or ends a transaction") as error:
        steps_of(batch(ROW, record), 1, inside=False)
    assert error.value.position == batch(ROW).end


def test_a_whole_transaction_inside_of_another_is_refused_unless_it_stands_alone() -> None:
    whole = f"BEGIN; {ROW}; COMMIT"
    with pytest.raises(RecordError):
        steps_of(batch(whole), 0, inside=True)
    assert kinds(alone(whole), inside=True) == []


def test_a_record_of_the_mysql_dialect_is_one_statement() -> None:
    record = encode_mysql(b"INSERT INTO t VALUES ('it\\'s; COMMIT; ')")
    assert kinds(record) == []
    assert len(contents_of(batch(record), 0)) == 1
    assert controls_of(batch(encode_mysql(PUBLISH.encode())), 0) == []


def test_statements_of_replication_among_others() -> None:
    assert controls_of(batch(f"{ROW}; {PUBLISH}"), 0)[0].strip() == PUBLISH.encode()
    assert controls_of(batch(ROW), 0) == []


@pytest.mark.parametrize(
    ("sql", "chains"),
    [
        ("COMMIT AND CHAIN", True),
        ("rollback and chain;", True),
        ("COMMIT AND NO CHAIN", False),
        ("COMMIT", False),
        ("COMMIT /* AND CHAIN */", False),
    ],
)
def test_an_end_that_opens_the_next(sql: str, chains: bool) -> None:
    (step,) = steps_of(batch(sql), 0, inside=True)
    assert step.chains is chains


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("SAVEPOINT a", "a"),
        ("RELEASE SAVEPOINT A;", "a"),
        ('ROLLBACK TO "A b"', "a b"),
        ("SAVEPOINT 'it''s'", "it's"),
        ("SAVEPOINT Ä", "Ä"),
    ],
)
def test_the_name_of_a_savepoint(sql: str, name: str) -> None:
    (step,) = steps_of(batch(sql), 0, inside=True)
    assert step.savepoint == name
    assert Step(K.SAVEPOINT, b"").savepoint == ""


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (alone(ROW), True),
        (encode_timed(RecordType.TIMED, 1, None, ROW.encode()), True),
        (encode_timed(RecordType.TRANSACTION, 1, None, ROW.encode()), True),
        (ROW, False),
        (encode_v1(ROW.encode()), False),
        (encode_mysql(ROW.encode()), False),
        (encode_checkpoint(0), False),
    ],
)
def test_what_takes_effect_where_it_stands(record: str | bytes, expected: bool) -> None:
    found = batch(ROW, record)
    assert stands_alone(found, 1) is expected
    assert is_alone(found.data[found.start_of(1) :]) is expected
    assert all_alone(found, 0, 2) == ([1] if expected else [])
    assert all_alone(found, 2, 2) == []
    assert not is_alone(b"\x00")


def test_only_what_may_matter_is_looked_at() -> None:
    found = batch(ROW, "BEGIN", ROW, f"{ROW}; COMMIT", "INSERT INTO t VALUES (';')", encode_checkpoint(0), ROW)
    assert records_to_look_at(found, len(found)) == [1, 3, 5]
    assert records_to_look_at(found, 3) == [1]
    assert records_to_look_at(found, len(found), skip=2) == [1, 2, 3, 5]
    assert records_to_look_at(found, 2, skip=2) == [1]


def test_pieces_are_statements_with_what_they_mean() -> None:
    pieces = pieces_of(f"BEGIN; {ROW}; COMMIT".encode())
    assert [kind for kind, _ in pieces] == [K.BEGIN, K.PLAIN, K.COMMIT]
    assert pieces_of(b"INSERT \xff; COMMIT") == [(K.PLAIN, b"INSERT \xff; COMMIT")]


@pytest.mark.parametrize(
    ("sql", "balanced", "separable"),
    [
        ("SELECT 1", True, True),
        ("BEGIN; SELECT 1", False, True),
        ("SELECT 1; COMMIT", False, True),
        ("BEGIN; SELECT 1; COMMIT", True, False),
        ("BEGIN; COMMIT; BEGIN; COMMIT", True, False),
        ("COMMIT; BEGIN", False, False),
        ("COMMIT; SELECT 1", False, False),
    ],
)
def test_balanced_and_separable(sql: str, balanced: bool, separable: bool) -> None:
    pieces = pieces_of(sql.encode())
    assert (is_balanced(pieces), is_separable(pieces)) == (balanced, separable)

"""What would differ on a copy is written as a literal, or refused: checked by making the copy."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from spgrepl.errors import NotReplayable
from spgrepl.primary.determinism import (
    Moment,
    Outcome,
    apply_edits,
    find_dependent,
    rewrite,
)
from spgrepl.primary.functions import Evaluator
from spgrepl.primary.statements import prepare
from spgrepl.sqltext import significant_tokens
from tests.primary.copying import assert_same_on_copy, opened

INSTANT = "2026-01-31 12:00:00.125"


def rewritten(sql: str, outcome: Outcome | None = None) -> str:
    """What a statement is run and logged as."""
    evaluator = Evaluator()
    try:
        return rewrite(prepare(sql, 10**7, False), evaluator, Moment(INSTANT, outcome or Outcome()))
    finally:
        evaluator.close()


# -- time -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t VALUES (CURRENT_TIMESTAMP)", "INSERT INTO t VALUES ('2026-01-31 12:00:00')"),
        ("insert into t values (current_date,Current_Time)", "insert into t values ('2026-01-31','12:00:00')"),
        ("UPDATE t SET a = datetime('now')", "UPDATE t SET a = '2026-01-31 12:00:00'"),
        ("UPDATE t SET a = DATETIME ( 'NOW' , '+1 day' )", "UPDATE t SET a = '2026-02-01 12:00:00'"),
        ("UPDATE t SET a = datetime()", "UPDATE t SET a = '2026-01-31 12:00:00'"),
        ("UPDATE t SET a = strftime('%s', 'now')", "UPDATE t SET a = '1769860800'"),
        ("UPDATE t SET a = strftime('%f')", "UPDATE t SET a = '00.125'"),
        ("UPDATE t SET a = unixepoch()", "UPDATE t SET a = 1769860800"),
        ("UPDATE t SET a = unixepoch('now')-5", "UPDATE t SET a = 1769860800 -5"),
        ("UPDATE t SET a = julianday('now')", "UPDATE t SET a = 2461072.000001447"),
        ("UPDATE t SET a = date('now', '-1 month', \"start of day\")", None),
        ("UPDATE t SET a = datetime('now', b)", f"UPDATE t SET a = datetime('{INSTANT}', b)"),
        ("UPDATE t SET a = strftime(b)", f"UPDATE t SET a = strftime(b , '{INSTANT}')"),
        (
            "UPDATE t SET a = datetime('now', b || time('now'))",
            f"UPDATE t SET a = datetime('{INSTANT}', b || '12:00:00')",
        ),
        (
            "UPDATE t SET a = datetime(strftime('%s', 'now'), 'unixepoch')",
            "UPDATE t SET a = datetime('1769860800', 'unixepoch')",
        ),
        ("DELETE FROM t WHERE a < CURRENT_TIMESTAMP", "DELETE FROM t WHERE a < '2026-01-31 12:00:00'"),
        ("CREATE TABLE u AS SELECT date() AS d", "CREATE TABLE u AS SELECT '2026-01-31' AS d"),
        (
            "WITH x AS (SELECT time('now') AS y) INSERT INTO t SELECT y FROM x",
            "WITH x AS (SELECT '12:00:00' AS y) INSERT INTO t SELECT y FROM x",
        ),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = CURRENT_DATE RETURNING CURRENT_TIME",
            "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = '2026-01-31' RETURNING '12:00:00'",
        ),
        ("INSERT INTO current_date VALUES (current_date)", "INSERT INTO current_date VALUES ('2026-01-31')"),
        (
            "DELETE FROM t WHERE a IS NOT DISTINCT FROM date()",
            "DELETE FROM t WHERE a IS NOT DISTINCT FROM '2026-01-31'",
        ),
        ("UPDATE t SET a = 'b'||CURRENT_DATE||'c'", "UPDATE t SET a = 'b'|| '2026-01-31' ||'c'"),
    ],
)
def test_the_present_time_is_written(sql: str, expected: str | None) -> None:
    """Every way to ask for the time becomes a literal of the right type, in any statement that changes rows."""
    if expected is None:
        expected = f"UPDATE t SET a = date('{INSTANT}', '-1 month', \"start of day\")"
    assert rewritten(sql) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES ('CURRENT_TIMESTAMP', \"current_date\", 'datetime(''now'')') -- now()",
        "INSERT INTO t (date, time) VALUES (date('2020-01-01'), time(12.5))",
        "INSERT INTO date(a) VALUES (1) /* random() */",
        "UPDATE t SET date = t.current_date, a = datetime(b, '+1 day')",
        "CREATE TABLE t (a DEFAULT CURRENT_TIMESTAMP, b DEFAULT (random()), c DEFAULT (datetime('now')))",
        "CREATE VIEW v AS SELECT random(), datetime('now')",
        "ALTER TABLE t ADD COLUMN d DEFAULT CURRENT_DATE",
        "CREATE INDEX i ON t (date(a))",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = date(NEW.b); END",
    ],
)
def test_what_is_the_same_everywhere_stays(sql: str) -> None:
    """Strings, comments, names, definitions and calls that a copy answers alike are left as they are."""
    assert rewritten(sql) == sql.partition(" --")[0].partition(" /*")[0]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("UPDATE t SET a = datetime(b, 'localtime')", "time zone of each copy"),
        ("UPDATE t SET a = datetime('now', b, 'utc')", "time zone of each copy"),
        (
            "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = CURRENT_DATE; END",
            "in a trigger, CURRENT_DATE",
        ),
        (
            "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = datetime(); END",
            "in a trigger, datetime",
        ),
        ("CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = date(a, 'utc'); END", "in a trigger, date"),
    ],
)
def test_times_that_are_refused(sql: str, message: str) -> None:
    """The local time zone of stored values, and the present time in a trigger, are refused."""
    with pytest.raises(NotReplayable, match=message):
        rewritten(sql)


def test_local_time_of_literals_is_written() -> None:
    """The primary's time zone counts where all is known when the statement is written."""
    found = rewritten("UPDATE t SET a = datetime('2020-01-01 00:00:00', 'localtime')")
    assert re.fullmatch(r"UPDATE t SET a = '20(19|20)-\d\d-\d\d \d\d:\d\d:00'", found)


# -- random ---------------------------------------------------------------------------------------------------


def test_random_values_are_written_into_tuples(tmp_path: Path) -> None:
    """Each call in VALUES becomes a value of its own; the copy has the same."""
    with opened(tmp_path, "CREATE TABLE t (a, b)") as writer:
        writer.execute("INSERT INTO t VALUES (random(), randomblob(8)), (-random(), hex(randomblob(4)))")
        rows = writer.rows("SELECT typeof(a), length(b), a FROM t")
        assert [row[:2] for row in rows] == [("integer", 8), ("integer", 8)]
        assert rows[0][2] != rows[1][2]
        assert_same_on_copy(writer)


def test_many_calls_take_time_in_proportion() -> None:
    """A statement of tens of thousands of rows is rewritten in a moment."""
    started = time.process_time()
    rewritten("INSERT INTO t VALUES " + ", ".join(["(random(), datetime('now'))"] * 20_000))
    assert time.process_time() - started < 10


def test_minus_a_negative_random_number_is_no_comment() -> None:
    """A negative literal behind a minus sign does not begin a comment."""
    found = {rewritten("INSERT INTO t VALUES (5 -random())") for _ in range(20)}
    assert any("-(-" in sql.replace(" ", "") for sql in found)
    assert not any("--" in sql for sql in found)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = random()",
        "DELETE FROM t WHERE a < random()",
        "INSERT INTO t SELECT random() FROM u",
        "INSERT INTO t VALUES ((SELECT random()))",
        "INSERT INTO t VALUES (randomblob(length('abc')))",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = random()",
        "INSERT INTO t VALUES (1) RETURNING random()",
        "INSERT INTO t VALUES (1) UNION ALL SELECT 2 ORDER BY random()",
        "CREATE TABLE u AS SELECT random() AS a",
        'UPDATE t SET a = "random"()',
        "UPDATE t SET a = RaNdOm /* x */ ()",
        "UPDATE t SET a = randomblob(4)",
        "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = random(); END",
    ],
)
def test_random_is_refused_elsewhere(sql: str) -> None:
    """One value for each row cannot be written into one statement; the advice says what to do."""
    with pytest.raises(NotReplayable, match=r"random(blob)?\(\) gives another value.*make the"):
        rewritten(sql)


# -- the outcome of the statement before ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("INSERT INTO t VALUES (last_insert_rowid(), 1)", "INSERT INTO t VALUES (7, 1)"),
        ("UPDATE t SET a = last_insert_rowid() + changes()", "UPDATE t SET a = 7 + 3"),
        ("DELETE FROM t WHERE rowid = last_insert_rowid()", "DELETE FROM t WHERE rowid = 7"),
    ],
)
def test_the_outcome_before_is_written(sql: str, expected: str) -> None:
    """In a transaction, where it is evaluated once, it becomes a literal."""
    assert rewritten(sql, Outcome(changes=3, last_rowid=7)) == expected


@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        ("INSERT INTO t VALUES (last_insert_rowid())", None),
        ("INSERT INTO t VALUES (changes())", Outcome()),
        ("INSERT INTO t VALUES (last_insert_rowid())", Outcome(changes=1)),
        ("INSERT INTO t VALUES (last_insert_rowid()), (last_insert_rowid())", Outcome(1, 1)),
        ("INSERT INTO t SELECT last_insert_rowid() FROM u", Outcome(1, 1)),
        ("UPDATE t SET a = total_changes()", Outcome(1, 1)),
        ("UPDATE t SET a = sqlite_version()", Outcome(1, 1)),
        ("UPDATE t SET a = sqlite_source_id()", Outcome(1, 1)),
        ("CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = last_insert_rowid(); END", Outcome(1, 1)),
    ],
)
def test_outcomes_that_are_refused(sql: str, outcome: Outcome | None) -> None:
    """Where there is no such statement before, or it would be asked for each row, it is refused."""
    with pytest.raises(NotReplayable, match="gives another value on a copy"):
        rewritten(sql, outcome)


def test_a_row_that_refers_to_the_one_before(tmp_path: Path) -> None:
    """The common use works, and the copy has the same rows."""
    with opened(tmp_path, "CREATE TABLE o (id INTEGER PRIMARY KEY)", "CREATE TABLE l (o INT, n INT)") as writer:
        writer.execute("INSERT INTO o VALUES (41)")
        writer.transaction(
            "INSERT INTO o DEFAULT VALUES",
            "INSERT INTO l VALUES (last_insert_rowid(), 1)",
            "UPDATE l SET n = n + 1",
            "UPDATE l SET o = o + changes() * 100",
        )
        assert writer.rows("SELECT * FROM l") == [(142, 2)]
        assert_same_on_copy(writer)


def test_an_insert_that_the_driver_tells_nothing_of(tmp_path: Path) -> None:
    """Behind WITH … INSERT the row number is unknown: an older one would be wrong."""
    with opened(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)") as writer:
        with pytest.raises(NotReplayable, match="last_insert_rowid"):
            writer.transaction(
                "insert\ninto t VALUES (5, 0)",
                "UPDATE t SET a = last_insert_rowid()",
                "WITH x AS (SELECT 9 AS y) INSERT INTO t SELECT y, 1 FROM x",
                "UPDATE t SET a = last_insert_rowid()",
            )
        writer.transaction("insert\ninto t VALUES (5, 0)", "UPDATE t SET a = last_insert_rowid()")
        assert writer.rows("SELECT * FROM t") == [(5, 5)]


def test_an_insert_that_inserted_nothing_has_no_row_number(tmp_path: Path) -> None:
    """SQLite would answer with the row number of somebody else's INSERT."""
    with opened(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)") as writer:
        with pytest.raises(NotReplayable, match="last_insert_rowid"):
            writer.transaction(
                "INSERT OR IGNORE INTO t VALUES (1)", "INSERT INTO t VALUES (last_insert_rowid() + 1)"
            )
        assert writer.rows("SELECT * FROM t") == [(1,)]


# -- parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("CURRENT_TIMESTAMP", "current_timestamp"),
        ("lower(hex(randomblob(16)))", "randomblob"),
        ("strftime('%s')", "strftime"),
        ('datetime("now")', "datetime"),
        ("date('2020-01-01')", None),
        ("'now'", None),
        ("abs(-1) + length('random()')", None),
    ],
)
def test_finding_dependent_calls(expression: str, expected: str | None) -> None:
    """The first call that a copy would answer otherwise is named."""
    assert find_dependent(significant_tokens(expression)) == expected


def test_edits_keep_words_apart() -> None:
    """A replacement does not run into the text beside it."""
    assert apply_edits("aXb", [(1, 2, "1")]) == "a 1 b"
    assert apply_edits("(X)", [(1, 2, "1")]) == "(1)"
    assert apply_edits("X", []) == "X"

"""What a statement of the log means to replay, told by its first words."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.log.transactions.words import StatementKind, may_hide_transaction, statement_kind

K = StatementKind

WORDS = [
    ("BEGIN", K.BEGIN),
    ("BEGIN TRANSACTION", K.BEGIN),
    ("BEGIN IMMEDIATE", K.BEGIN),
    ("START TRANSACTION", K.BEGIN),
    ("COMMIT", K.COMMIT),
    ("COMMIT WORK", K.COMMIT),
    ("END", K.COMMIT),
    ("END TRANSACTION", K.COMMIT),
    ("ROLLBACK", K.ROLLBACK),
    ("ROLLBACK TRANSACTION", K.ROLLBACK),
    ("ABORT", K.ROLLBACK),
    ("SAVEPOINT a", K.SAVEPOINT),
    ("RELEASE a", K.RELEASE),
    ("RELEASE SAVEPOINT a", K.RELEASE),
    ("ROLLBACK TO a", K.ROLLBACK_TO),
    ("ROLLBACK TO SAVEPOINT a", K.ROLLBACK_TO),
    ("ROLLBACK TRANSACTION TO a", K.ROLLBACK_TO),
    ("ROLLBACK WORK TO SAVEPOINT a", K.ROLLBACK_TO),
    ("CREATE PUBLICATION p FOR ALL TABLES", K.CONTROL),
    ("DROP PUBLICATION IF EXISTS p", K.CONTROL),
    ("SHOW PUBLICATIONS", K.CONTROL),
    ("CREATE SUBSCRIPTION s CONNECTION 'host=a port=1' PUBLICATION p", K.CONTROL),
    ("DROP SUBSCRIPTION s", K.CONTROL),
    ("SHOW SUBSCRIPTIONS", K.CONTROL),
    ("SET effective_wal_level = 'logical'", K.CONTROL),
    ("SHOW effective_wal_level", K.CONTROL),
    ("WAIT FOR WAL POSITION 7 WITH TIMEOUT 100", K.CONTROL),
]

PLAIN = [
    "",
    "INSERT INTO t VALUES (1)",
    "UPDATE t SET commit_time = 1",
    "CREATE TABLE publication (a)",
    "CREATE TABLE begin_ (a)",
    "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END",
    "DROP TABLE t",
    "ALTER TABLE t RENAME TO u",
    "SHOW TABLES",
    "SET x = 1",
    "START",
    "STARTTRANSACTION",
    "BEGINNING",
    "BEGIN_",
    "BEGIN1",
    "BEGIN$",
    "COMMITTED",
    "ENDE",
    "ENDÄ",
    "RELEASED a",
    "WAIT FOR IT",
    "'BEGIN'",
    "(BEGIN)",
    "/* BEGIN",
    "-- BEGIN",
    "/* BEGIN */",
    "/* a */ INSERT INTO t VALUES ('*/ COMMIT')",
    "-- a\nINSERT INTO t VALUES ('\nCOMMIT')",
    "/*/ COMMIT",
    "\vCOMMIT",
    "COMM\ufeffIT",
    "COMMIT\ufeff",
    "CREATE\ufeffPUBLICATION p",
    "ROLLBACK\ufeffTO a",
]

GAPS = [
    "",
    " ",
    "\t\n\r\f",
    ";",
    " ; ;",
    "/* a */",
    "/***/",
    "/*;*/",
    "-- BEGIN\n",
    "--\n--\n",
    "/* COMMIT */ -- x\n",
]


@pytest.mark.parametrize(("text", "kind"), WORDS + [(text, K.PLAIN) for text in PLAIN])
def test_first_words_behind_any_gap(text: str, kind: StatementKind) -> None:
    for gap in GAPS:
        for sql in (gap + text, gap + text.lower(), gap + text.capitalize()):
            assert statement_kind(sql.encode()) is kind, sql


@pytest.mark.parametrize(("text", "kind"), WORDS)
def test_gaps_between_words_and_behind_them(text: str, kind: StatementKind) -> None:
    for gap in ("  ", "\n", "/* a */", " -- b\n ", " \ufeff"):
        for tail in ("", ";", " ;", "--x", "/* x */", "\n", " \ufeff"):
            assert statement_kind((text.replace(" ", gap) + tail).encode()) is kind


def test_a_finished_comment_is_finished() -> None:
    # A search that lets the first comment reach to the last */ reads the words of a value.
    assert statement_kind(b"/* a */ CREATE TABLE t (a DEFAULT '/* b */ BEGIN')") is K.PLAIN


@given(st.binary(max_size=60))
def test_any_bytes_have_a_kind(sql: bytes) -> None:
    assert isinstance(statement_kind(sql), StatementKind)
    assert isinstance(may_hide_transaction(sql), bool)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1); COMMIT",
        "INSERT INTO t VALUES (1);commit",
        "SELECT 1; /* a */ ROLLBACK",
        "SELECT 1; -- a\n BEGIN",
        "SELECT 1; ; SAVEPOINT a",
        "SELECT 1; SELECT 2; RELEASE a",
        "SELECT 1; start transaction",
        "SELECT 1; END",
        "SELECT 1; ABORT",
        "SELECT '/*'; COMMIT",
        "SELECT '; /*'; COMMIT",
        "SELECT '--'; COMMIT",
    ],
)
def test_hidden_ends_are_suspected(sql: str) -> None:
    assert may_hide_transaction(sql.encode())


@pytest.mark.parametrize(
    "sql",
    ["", ";", "COMMIT", "COMMIT;", "begin", "INSERT INTO t VALUES ('a; b')", "SELECT 1; SELECT 2; SELECT ending"],
)
def test_nothing_is_hidden(sql: str) -> None:
    assert not may_hide_transaction(sql.encode())


HOSTILE = """
from spgrepl.log.transactions.words import may_hide_transaction, statement_kind
fillers = b" ", b";", b" ;", b"/**/", b"/* ", b"--\\n", b"-- ", b"/*/", b"; /* ", b"; -- ", b"\\n\\t", b"BEGIN"
for filler in fillers:
    for head in (b"", b"CREATE ", b"ROLLBACK", b"SELECT 1;", b"START", b"/*"):
        for tail in (b"x", b"CREATE x", b"'"):
            statement_kind(head + filler * 100_000 + tail)
            may_hide_transaction(head + filler * 100_000 + tail)
"""


def test_hostile_texts_take_no_more_than_their_length() -> None:
    # Run apart, since a search that goes wrong here does not come back. One that tries each of 100,000 gaps in
    # each place needs hours; a straight one is through the whole list in about a second.
    subprocess.run([sys.executable, "-c", HOSTILE], check=True, timeout=60)

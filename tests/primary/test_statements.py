"""What may be handed over as one statement."""

from __future__ import annotations

import pytest

from spgrepl.errors import StatementFailed
from spgrepl.primary.statements import Effect, prepare
from spgrepl.publications.statements import CreatePublication, DropSubscription, Scope, ShowPublications


@pytest.mark.parametrize(
    ("sql", "text", "effect"),
    [
        ("INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (1)", Effect.ROWS),
        (" -- a\n/* b */ replace into t values (';') ; -- c", "replace into t values (';')", Effect.ROWS),
        ("WITH x AS (SELECT 1) DELETE FROM t", "WITH x AS (SELECT 1) DELETE FROM t", Effect.ROWS),
        ("CREATE TABLE t (a)", "CREATE TABLE t (a)", Effect.SCHEMA),
        ("CREATE TABLE IF NOT EXISTS main.t AS SELECT 1", None, Effect.COPY),
        ('CREATE TABLE "as" (a)', None, Effect.SCHEMA),
        ("CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END;", None, Effect.TRIGGER),
        ("DROP TABLE t", None, Effect.SCHEMA),
        ("ANALYZE", None, Effect.SCHEMA),
    ],
)
def test_statements_are_told_apart(sql: str, text: str | None, effect: Effect) -> None:
    """The text without its surroundings, and what it does."""
    found = prepare(sql, 1000, in_transaction=False)
    assert found.text == (text or sql.rstrip(";"))
    assert found.effect is effect


@pytest.mark.parametrize(
    "sql", ["SAVEPOINT a", "release a", "ROLLBACK TRANSACTION TO SAVEPOINT a", "ROLLBACK TO a"]
)
def test_savepoints_belong_into_transactions(sql: str) -> None:
    """They are run there and refused elsewhere."""
    assert prepare(sql, 1000, in_transaction=True).effect is Effect.SAVEPOINT
    with pytest.raises(StatementFailed, match=r"use transaction\(\)"):
        prepare(sql, 1000, in_transaction=False)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "no statement where one"),
        (" ; -- x", "no statement where one"),
        ("DELETE FROM t; DELETE FROM u", "2 statements where one"),
        ("SELECT 1", r"use query\(\)"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", r"use query\(\)"),
        ("VALUES (1)", r"use query\(\)"),
        ("EXPLAIN DELETE FROM t", r"use query\(\)"),
        ("PRAGMA user_version = 3", "a copy would not get"),
        ("ATTACH 'x' AS y", "other file"),
        ("DETACH y", "other file"),
        ("VACUUM", "number rows anew"),
        ("BEGIN", r"use transaction\(\)"),
        ("/* x */ COMMIT", r"use transaction\(\)"),
        ("END", r"use transaction\(\)"),
        ("ROLLBACK", r"use transaction\(\)"),
        ("CREATE PUBLICATION p FOR TABLE", "the list of tables is empty"),
        ("ALTER SUBSCRIPTION s", "not understood"),
        ("SET effective_wal_level = 'logical'", "about the server and not the database"),
        ("WAIT FOR WAL POSITION 5", "about the server and not the database"),
        ("DELETE FROM spgrepl_replay", "belongs to spgrepl"),
        ('DROP TABLE "SpgRepl_Replay"', "belongs to spgrepl"),
        ("CREATE TRIGGER r AFTER DELETE ON t BEGIN DELETE FROM 'spgrepl_replay'; END", "belongs to spgrepl"),
        ("INSERT INTO t VALUES ('a\0b')", "NUL"),
        ("INSERT INTO t VALUES ('\udc80')", "no valid Unicode"),
        ("INSERT INTO t VALUES ('" + "é" * 600 + "')", "has 1225 bytes"),
    ],
)
def test_what_is_refused(sql: str, message: str) -> None:
    """The message says what to do instead."""
    with pytest.raises(StatementFailed, match=message):
        prepare(sql, 1000, in_transaction=False)


@pytest.mark.parametrize(
    ("sql", "control", "logged"),
    [
        ("CREATE PUBLICATION p;", CreatePublication("p", Scope.ALL), True),
        ("-- a\nDROP SUBSCRIPTION s", DropSubscription("s"), True),
        ("SHOW PUBLICATIONS", ShowPublications(), False),
    ],
)
def test_statements_on_the_catalogue(sql: str, control: object, logged: bool) -> None:
    """They are read here, for the writer to judge."""
    found = prepare(sql, 1000, in_transaction=False)
    assert (found.effect, found.control, found.logged) == (Effect.CATALOG, control, logged)


def test_a_transaction_holds_no_other() -> None:
    """BEGIN and COMMIT come by themselves."""
    with pytest.raises(StatementFailed, match="leave it out"):
        prepare("BEGIN", 1000, in_transaction=True)


def test_a_plain_statement_needs_no_closer_look() -> None:
    """Most statements are not cut into tokens."""
    assert prepare("INSERT INTO t VALUES (1, 'a b c')", 1000, in_transaction=False).tokens is None
    assert prepare("INSERT INTO t VALUES (random())", 1000, in_transaction=False).tokens is not None

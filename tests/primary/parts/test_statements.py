"""What may be handed over as one statement."""

from __future__ import annotations

import pytest

from spgrepl.catalogue.statements import CreatePublication, DropSubscription, Scope, ShowPublications
from spgrepl.errors import StatementFailed
from spgrepl.primary.parts.statements import Effect, Savepoint, SavepointAction, prepare


@pytest.mark.parametrize(
    ("sql", "text", "effect"),
    [
        ("INSERT INTO t VALUES (1);", "INSERT INTO t VALUES (1)", Effect.ROWS),
        (" -- a\n/* b */ replace into t values (';') ; -- c", "replace into t values (';')", Effect.ROWS),
        ("WITH x AS (SELECT 1) DELETE FROM t", "WITH x AS (SELECT 1) DELETE FROM t", Effect.ROWS),
        ("CREATE TABLE t (a)", "CREATE TABLE t (a)", Effect.SCHEMA),
        ("CREATE TABLE IF NOT EXISTS main.t AS SELECT 1", None, Effect.COPY),
        ('CREATE TABLE "as" (a)', None, Effect.SCHEMA),
        ("CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM t; END;", None, Effect.SCHEMA),
        ("DROP TABLE t", None, Effect.DROP),
        ("DROP VIEW v", None, Effect.SCHEMA),
        ("ANALYZE", None, Effect.LOGGED),
        ("REINDEX t", None, Effect.LOGGED),
        ("PRAGMA user_version = -3", None, Effect.LOGGED),
        ("PRAGMA main.application_id(7)", None, Effect.LOGGED),
        ("PRAGMA user_version", None, Effect.READ),
        ("PRAGMA table_info(t)", None, Effect.READ),
        ("PRAGMA temp.table_xinfo(t)", None, Effect.READ),
        ('PRAGMA "main".foreign_key_list("t")', None, Effect.READ),
        ("PRAGMA foreign_keys = ON", None, Effect.SETTING),
        ("SELECT 1", None, Effect.READ),
        ("WITH x AS (SELECT 1) SELECT * FROM x", None, Effect.READ),
        ("VALUES (1)", None, Effect.READ),
        ("EXPLAIN DELETE FROM t", None, Effect.READ),
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
        ("PRAGMA synchronous = OFF", "settings that all callers share"),
        ("PRAGMA temp.user_version = 3", "database temp does not exist on a copy"),
        ("PRAGMA defer_foreign_keys = ON", "use transaction"),
        ("PRAGMA foreign_keys = maybe", "is ON or OFF"),
        ("ATTACH 'x' AS y", "other file"),
        ("DETACH y", "other file"),
        ("VACUUM", "other numbers"),
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
        ("DROP TABLE '\udc80'", "not valid Unicode"),
        ("CREATE TABLE t (a DEFAULT '" + "é" * 600 + "')", "has 1229 bytes"),
    ],
)
def test_what_is_refused(sql: str, message: str) -> None:
    """The message says what to do instead."""
    with pytest.raises(StatementFailed, match=message):
        prepare(sql, 1000, in_transaction=False)


@pytest.mark.parametrize(
    ("sql", "control"),
    [
        ("CREATE PUBLICATION p;", CreatePublication("p", Scope.ALL)),
        ("-- a\nDROP SUBSCRIPTION s", DropSubscription("s")),
        ("SHOW PUBLICATIONS", ShowPublications()),
    ],
)
def test_statements_on_the_catalogue(sql: str, control: object) -> None:
    """They are read here, for the writer to judge."""
    found = prepare(sql, 1000, in_transaction=False)
    assert (found.effect, found.control) == (Effect.CATALOG, control)


@pytest.mark.parametrize("quoted", ["A", '"a"', "'a'", "[a]", "`A`"])
def test_names_of_savepoints(quoted: str) -> None:
    """They may be quoted in any way, and their case does not matter, but for letters beyond ASCII."""
    for sql, action in (("SAVEPOINT", "SET"), ("RELEASE SAVEPOINT", "RELEASE"), ("ROLLBACK TO", "BACK")):
        found = prepare(f"{sql} {quoted}", 1000, in_transaction=True).savepoint
        assert found == Savepoint(SavepointAction[action], "a")
    assert prepare("SAVEPOINT Ä", 1000, in_transaction=True).savepoint == Savepoint(SavepointAction.SET, "Ä")


@pytest.mark.parametrize("sql", ["CREATE TABLE {} AS SELECT 1", "CREATE TABLE IF NOT EXISTS main.{} AS SELECT 1"])
@pytest.mark.parametrize("name", ["Tab", '"Tab"', "'Tab'", "[Tab]"])
def test_names_of_tables(sql: str, name: str) -> None:
    """The table that is made or dropped."""
    assert prepare(sql.format(name), 1000, in_transaction=False).table == "Tab"
    assert prepare(f"DROP TABLE IF EXISTS main.{name}", 1000, in_transaction=False).table == "Tab"


def test_a_transaction_holds_no_other() -> None:
    """BEGIN and COMMIT come by themselves."""
    with pytest.raises(StatementFailed, match="leave it out"):
        prepare("BEGIN", 1000, in_transaction=True)

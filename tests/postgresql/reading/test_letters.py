"""Capital letters: beyond those of ASCII nobody can tell which are which at the master."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import StatementRefused
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.reading.closure import gather
from spgrepl.postgresql.reading.letters import letters_of
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import install, run

BEYOND = "may meet letters beyond ASCII in"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET x = lower(x)",
        "UPDATE t SET x = upper('ä')",
        "UPDATE t SET x = upper(E'\\u00e4')",
        "DELETE FROM t WHERE x ILIKE 'b%'",
        "DELETE FROM t WHERE x ~* 'b'",
        "DELETE FROM t WHERE x ~* '[a-n]'",
        "DELETE FROM t WHERE x ILIKE ANY ('{a,b}'::text[])",
        "DELETE FROM t WHERE x !~* 'b'",
        "DELETE FROM t WHERE lower((SELECT max(x) FROM t)) = 'a'",
        "DELETE FROM t WHERE n IN (SELECT n FROM (SELECT x AS y, n FROM t) s WHERE upper(y) = 'B')",
        "INSERT INTO t (id, x) VALUES (9, 'Ä') ON CONFLICT (id) DO UPDATE SET x = lower(excluded.x)",
        "INSERT INTO several (k, x) SELECT 1, lower(y) FROM (VALUES ('Ä')) v (y)",
        "UPDATE t SET n = 5 WHERE EXISTS (SELECT 1 FROM v WHERE lower(v.x) = 'a')",
        "UPDATE t SET x = lower(chr(196))",
        "CREATE TABLE made AS SELECT lower(x) AS x FROM t",
        "CREATE TABLE made (a TEXT, b TEXT GENERATED ALWAYS AS (lower(a)) STORED)",
    ],
)
def test_letters_beyond_ascii_stop_what_tells_them_apart(
    statement: str, engine: PostgresqlEngine, database: Database
) -> None:
    run(engine, ["UPDATE t SET x = 'Ä' WHERE id = 2"], 300)
    before = database.query("SELECT * FROM t ORDER BY id")
    with pytest.raises(StatementRefused, match=BEYOND):
        run(engine, [statement], 400)
    assert database.query("SELECT * FROM t ORDER BY id") == before


def test_letters_of_ascii_are_the_same_everywhere(engine: PostgresqlEngine, database: Database) -> None:
    """Also where other columns, and other constants, have letters beyond."""
    run(
        engine,
        [
            "ALTER TABLE several ADD COLUMN r int4range",
            "UPDATE several SET x = 'Ä', r = '[1,5)' WHERE n = 5",
            "UPDATE t SET x = upper(x)",
            "UPDATE t SET x = x || 'ö' WHERE x ILIKE 'A%' AND lower(x) = 'a'",
            "UPDATE several SET n = lower(r) WHERE x = 'Ä'",
            "UPDATE one SET x = upper(x) WHERE k IN (SELECT k FROM several WHERE x = 'Ä')",
            "INSERT INTO t (id, x) VALUES (9, lower('A')) ON CONFLICT (id) DO UPDATE SET x = excluded.x",
        ],
        300,
    )
    assert database.query("SELECT x FROM t ORDER BY id") == [("Aö",), ("B",), ("a",)]
    assert database.query("SELECT x FROM one ORDER BY k") == [("A",), ("b",)]
    assert database.query("SELECT n FROM several WHERE x = 'Ä'") == [(1,)]


def test_a_text_that_json_hides(engine: PostgresqlEngine) -> None:
    run(
        engine,
        ["CREATE TABLE j (id INT, a JSON, b JSONB)", 'INSERT INTO j VALUES (1, \'{"a": "b"}\', \'["b"]\')'],
        300,
    )
    run(engine, ["UPDATE j SET id = 2 WHERE lower(a ->> 'a') = 'b' AND lower(b ->> 0) = 'b'"], 400)
    run(engine, ['UPDATE j SET a = \'{"a": "\\u00c4"}\''], 500)
    with pytest.raises(StatementRefused, match=f"{BEYOND} j.a"):
        run(engine, ["UPDATE j SET id = 3 WHERE lower(a ->> 'a') = 'b'"], 600)
    run(engine, ["UPDATE j SET a = NULL, b = '[\"\\u00c4\"]'"], 600)
    with pytest.raises(StatementRefused, match=f"{BEYOND} j.b"):
        run(engine, ["UPDATE j SET id = 3 WHERE lower(b ->> 0) = 'b'"], 700)


@pytest.mark.parametrize(
    ("name", "options", "plain", "said"),
    [
        ("turkish", "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C'", "DELETE FROM t WHERE x = 'I'",
         "takes other letters for capitals"),
        ("narrow", "LOCALE 'C' ENCODING 'LATIN1'", "INSERT INTO t VALUES (5, 'ä')", "is not in UTF8"),
        ("raw", "LOCALE 'C' ENCODING 'SQL_ASCII'", "UPDATE t SET x = 'ä' WHERE id = 1", "is not in UTF8"),
    ],
)  # fmt: skip
def test_databases_that_take_other_letters_for_capitals_or_have_other_ones(
    name: str, options: str, plain: str, said: str, database: Database, tmp_path: Path
) -> None:
    url = database.server.new_database(name, "template0", options)
    engine = PostgresqlEngine(ServerAddress.parse(url))
    engine.open()
    install(engine, tmp_path / "received")
    run(engine, ["CREATE TABLE t (id INT PRIMARY KEY, x TEXT)", "INSERT INTO t VALUES (1, 'a'), (2, 'I')"])
    for statement in ("UPDATE t SET x = lower(x)", "UPDATE t SET id = length('ab') WHERE x ~* 'i'"):
        with pytest.raises(StatementRefused, match=said):
            run(engine, [statement], 300)
    run(engine, [plain], 300)
    engine.close()
    database.server.query("postgres", f"DROP DATABASE {name} WITH (FORCE)")


def test_what_is_told_of_a_statement(engine: PostgresqlEngine) -> None:
    connection = engine._server.connection()
    connection.execute("BEGIN")
    assert letters_of(gather(connection, "UPDATE t SET x = 'ä' WHERE n = 1")) is None
    found = letters_of(gather(connection, "UPDATE t SET x = 'ä' WHERE lower(x) = 'b' AND upper(x) = 'B'"))
    assert found is not None
    assert found.columns is not None
    assert [sorted(columns) for columns in found.columns.values()] == [[2]]
    assert not found.beyond
    assert not found.other_rule
    other = letters_of(gather(connection, "DELETE FROM t WHERE lower(x COLLATE \"de-x-icu\") = 'ä'"))
    assert other is not None
    assert other.other_rule
    connection.execute("ROLLBACK")

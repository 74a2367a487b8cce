"""Labels and years: what is written in full means the same everywhere, all else is the master's own business."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.errors import StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.reading.closure import gather
from spgrepl.postgresql.reading.given_values import unsure_choice
from spgrepl.postgresql.session import Session
from spgrepl.postgresql.tables import Choice
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run
from tests.spgsql.copy import Copy

TABLES = (
    "CREATE TABLE l (id INT PRIMARY KEY, e TEXT, y YEAR, x TEXT, n INT)",
    "CREATE TABLE m (id INT PRIMARY KEY, e TEXT, y YEAR)",
    "CREATE TABLE other (id INT PRIMARY KEY, e TEXT)",
)
LABELS = {"l": '{"enum_labels": ["low", "hïgh", "1"]}', "m": '{"enum_labels": ["low", "hïgh", "1"]}'}
LABELS["other"] = '{"set_labels": ["low", "b"]}'


def made() -> Copy:
    copy = Copy()
    copy.run(*TABLES)
    for table, details in LABELS.items():
        change = "UPDATE spgrepl_spg_columns SET details = ? WHERE table_name = ? AND column_name = 'e'"
        copy.connection.execute(change, (details, table))
    return copy


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    path = tmp_path / "received"
    with apsw.Connection(str(path)) as to, to.backup("main", made().connection, "main") as backup:
        backup.step()
    engine = PostgresqlEngine(ServerAddress.parse(database.url))
    engine.open()
    engine.install_snapshot(path, ReplayState(100, 100))
    run(engine, ["INSERT INTO l VALUES (1, 'low', 2024, 'x', 5)", "INSERT INTO m VALUES (1, 'hïgh', 1999)"])
    yield engine
    engine.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO l (id, e) VALUES (2, 'hïgh')",
        "INSERT INTO l VALUES (2, 'low', '2024', '', 1), (3, NULL, 1901, 'x', 2), (4, '1', 2155, '', 3)",
        "INSERT INTO l (id, e, y) VALUES (1, 'low', 2024) ON CONFLICT (id) DO UPDATE SET e = EXCLUDED.e, y = 2020",
        "INSERT INTO l (id, e, y) SELECT id + 10, e, y FROM m",
        "INSERT INTO l (id, e) SELECT id + 10, e FROM m UNION ALL SELECT 30, 'low'",
        "WITH c AS (SELECT e FROM m WHERE y = 1999) UPDATE l SET e = (c.e) FROM c WHERE l.id = 1",
        "UPDATE l SET e = 'hïgh', y = '1999', x = 'HIGH' WHERE e = 'low' AND y IN (2023, 2024)",
        "UPDATE l SET x = e WHERE e <> 'hïgh' AND y > 2000 AND y BETWEEN 2001 AND '2025'",
        "UPDATE l SET e = m.e FROM m WHERE m.id = l.id AND m.y IS NOT DISTINCT FROM 1999",
        "UPDATE l SET e = DEFAULT WHERE e IS NOT NULL AND y NOT IN (2001)",
        "DELETE FROM l USING m WHERE l.e = m.e OR m.y = l.y OR EXISTS (SELECT 1 FROM m i WHERE i.e = l.e)",
        "UPDATE l SET n = 1, x = 'LOW' WHERE id = 1",
        "DELETE FROM l WHERE id = 1 AND (SELECT count(e) FROM m) = 1",
        "MERGE INTO l USING m ON m.e = l.e WHEN MATCHED THEN UPDATE SET e = 'low', y = m.y "
        "WHEN NOT MATCHED THEN INSERT (id, e, y) VALUES (9, 'low', 2001)",
    ],
)
def test_what_is_written_in_full_runs(statement: str, engine: PostgresqlEngine) -> None:
    run(engine, [statement.replace("DEFAULT", "NULL")], 300)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO l (id, e) VALUES (2, 'HÏGH')",
        "INSERT INTO l (id, e) VALUES (2, 1)",
        "INSERT INTO l (id, e) VALUES (2, '2')",
        "INSERT INTO l (id, e) VALUES (2, 'low ')",
        "INSERT INTO l (id, e) VALUES (2, '')",
        "INSERT INTO l (id, e) VALUES (2, TRUE)",
        "INSERT INTO l (id, e) VALUES (2, 'low'), (3, 'Low')",
        "INSERT INTO l (id, e) SELECT id + 5, x FROM l",
        "INSERT INTO l (id, e) SELECT id + 10, e FROM m UNION ALL SELECT 30, 'LOW'",
        "INSERT INTO l (id, e) SELECT id + 10, e FROM other",
        "WITH c AS (SELECT 'Low' AS e) UPDATE l SET e = c.e FROM c",
        "UPDATE l SET e = upper(e)",
        "UPDATE l SET e = CASE WHEN id = 1 THEN 'low' ELSE '1' END",
        "UPDATE l SET x = 'a' WHERE e = 'LOW'",
        "UPDATE l SET x = 'a' WHERE e IN ('low', 'Low')",
        "UPDATE l SET x = 'a' WHERE e LIKE 'l%'",
        "UPDATE l SET x = 'a' WHERE e = x",
        "UPDATE l SET x = 'a' WHERE e || '' = 'low'",
        "UPDATE l SET x = e || 'a'",
        "UPDATE l SET x = 'a' WHERE CASE e WHEN 'low' THEN TRUE END",
        "UPDATE l SET x = 'a' WHERE e = ANY ('{low}')",
        "UPDATE l SET x = 'a' FROM other o WHERE o.e = l.e",
        "UPDATE l SET y = 24",
        "UPDATE l SET y = '24'",
        "UPDATE l SET y = 0",
        "UPDATE l SET y = 2156",
        "UPDATE l SET y = y + 1",
        "UPDATE l SET y = n",
        "UPDATE l SET n = y",
        "UPDATE l SET x = 'a' WHERE y = 24",
        "UPDATE l SET x = 'a' WHERE y > '24'",
        "UPDATE l SET x = 'a' WHERE y = n",
        "UPDATE l SET x = 'a' WHERE l = ROW(1, 'low', 2024::smallint, 'x', 5)::l",
        "INSERT INTO l (id, y) VALUES (1, 2024) ON CONFLICT (id) DO UPDATE SET y = 24",
        "MERGE INTO l USING m ON m.id = l.id WHEN MATCHED THEN UPDATE SET e = 'LOW'",
        "DELETE FROM l WHERE EXISTS (SELECT 1 FROM m WHERE m.e = 'LOW')",
        "DELETE FROM l WHERE e IN (SELECT e FROM other)",
    ],
)
def test_what_is_not_stops_by_name(statement: str, engine: PostgresqlEngine, database: Database) -> None:
    before = database.query("SELECT * FROM l")
    with pytest.raises(StatementRefused, match="at the master: what it makes of other values than its own"):
        run(engine, [statement], 300)
    assert database.query("SELECT * FROM l") == before


def test_what_stands_behind_a_view_stops(engine: PostgresqlEngine) -> None:
    run(engine, ["CREATE VIEW v AS SELECT id, x AS e FROM l WHERE e = 'LOW'"], 300)
    with pytest.raises(StatementRefused, match=r"the column e of l is an ENUM.*\(the view v names it\)"):
        run(engine, ["UPDATE l SET x = 'b' FROM v WHERE v.id = l.id"], 400)


@pytest.mark.parametrize("value", ["'HÏGH'", "1", "'2'", "''", "'low '"])
def test_sqlite_says_the_same(value: str) -> None:
    copy = made()
    copy.stop(f"INSERT INTO l (id, e) VALUES (2, {value})", "is none of the labels low, hïgh, 1")
    copy.run("INSERT INTO l (id, e) VALUES (3, '1'), (4, NULL)")
    copy.stop(f"UPDATE l SET e = {value}", "is none of the labels low, hïgh, 1")
    copy.stop("INSERT INTO l (id, y) VALUES (2, '24')", "YEAR")


def test_a_statement_is_read_with_its_own_constants(database: Database) -> None:
    database.query("CREATE TABLE t (e TEXT)")
    database.query("CREATE SCHEMA spgrepl")
    oid = int(str(database.query("SELECT 't'::regclass::oid::bigint")[0][0]))
    session = Session(ServerAddress.parse(database.url), "test")
    connection = session.open()
    connection.execute("BEGIN")
    choices = {(oid, 1): Choice("e of t", ("low",))}
    for text, unsure in (("UPDATE t SET e = 'low'", False), ("UPDATE t SET e = 'Low'", True)):
        assert (unsure_choice(gather(connection, text), choices) is not None) is unsure
    session.close()

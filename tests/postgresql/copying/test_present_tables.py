"""A table that was in PostgreSQL before the copy of an SPG server's: taken where its statements mean the same."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.postgresql_target import PostgresqlTarget
from spgrepl.errors import StatementRefused, TableMismatch
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.present_tables import PresentTable
from spgrepl.postgresql.copying.source_tables import read_source
from spgrepl.postgresql.session import Session
from spgrepl.postgresql.tables import read_table
from spgrepl.spgsql.replay import Nondeterministic
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run
from tests.postgresql.test_spg_effects import give, subscribe
from tests.spgsql.copy import Copy

TYPES = {
    "n": "NUMERIC(6,2)",
    "v": "VARCHAR(10)",
    "big": "BIGINT",
    "i": "INT",
    "f": "FLOAT",
    "r": "REAL",
    "at": "TIMESTAMPTZ",
    "plain": "TIMESTAMP",
    "day": "DATE",
    "c": "CHAR(4)",
    "x": "TEXT",
    "b": "BYTEA",
    "tags": "TEXT[]",
    "j": "JSONB",
    "yes": "BOOL",
    "gap": "INTERVAL",
    "bits": "BIT VARYING",
    "u": "UUID",
}
SAME = {**TYPES, "f": "DOUBLE PRECISION"}


def made_snapshot(path: Path, *statements: str) -> Path:
    made = Copy()
    listed = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    made.run(f"CREATE TABLE kinds (id INT PRIMARY KEY, {listed})", *statements)
    with apsw.Connection(str(path)) as to, to.backup("main", made.connection, "main") as backup:
        backup.step()
    return path


def make(database: Database, types: dict[str, str]) -> None:
    listed = ", ".join(f"{name} {kind}" for name, kind in types.items())
    database.query(f"CREATE TABLE kinds (id INTEGER PRIMARY KEY, {listed})")


def copied(database: Database, path: Path, *statements: str, kind: str = "subscriber") -> PostgresqlTarget:
    """A copy in a database with tables of its own, by either role; it is closed where it is a follower's."""
    if kind == "follower":
        engine = PostgresqlEngine(ServerAddress.parse(database.url))
        engine.open()
        try:
            engine.install_snapshot(made_snapshot(path, *statements), ReplayState(100, 100))
        finally:
            engine.close()
    target = subscribe(database, Nondeterministic.STOP) if kind == "subscriber" else None
    if target is None:
        return PostgresqlTarget(ServerAddress.parse(database.url), "s", TargetOptions())
    try:
        target.copy_snapshot(made_snapshot(path, *statements), (), 0)
    except BaseException:
        target.close()
        raise
    return target


def test_a_table_of_the_same_types_is_taken(database: Database, tmp_path: Path) -> None:
    """Whatever it has beside: columns after the master's, with defaults."""
    make(database, {**SAME, "more": "INTEGER DEFAULT 5"})
    target = copied(database, tmp_path / "received", "INSERT INTO kinds (id, n, c) VALUES (1, 1.255, 'ab')")
    give(target, ["INSERT INTO kinds (id, n) VALUES (2, 2.345)"], 200)
    assert database.query("SELECT id, n::text, c, more FROM kinds ORDER BY id") == [
        (1, "1.26", "ab  ", 5),
        (2, "2.35", None, 5),
    ]
    target.close()


@pytest.mark.parametrize(
    ("column", "here", "wanted"),
    [
        ("n", "NUMERIC(6,1)", r"numeric\(6,2\)"),
        ("n", "NUMERIC", r"numeric\(6,2\)"),  # the master rounds before it stores
        ("v", "VARCHAR(3)", r"character varying\(10\)"),
        ("v", "TEXT", r"character varying\(10\)"),
        ("big", "INTEGER", "bigint"),
        ("i", "BIGINT", "integer"),  # sums and shifts of it are of another type
        ("f", "REAL", "double precision"),
        ("r", "DOUBLE PRECISION", "real"),
        ("at", "TIMESTAMP", "timestamp with time zone"),
        ("at", "TIMESTAMPTZ(0)", "timestamp with time zone"),
        ("plain", "TIMESTAMPTZ", "timestamp without time zone"),
        ("day", "TIMESTAMP", "date"),
        ("c", "CHAR(5)", r"character\(4\)"),
        ("c", "TEXT", r"character\(4\)"),
        ("x", "CHAR(300)", "text"),
        ("x", "name", "text"),
        ("tags", "VARCHAR(2)[]", r"text\[\]"),
        ("j", "JSON", "jsonb"),
        ("gap", "INTERVAL DAY TO MINUTE", "interval"),
        ("bits", "BIT VARYING(3)", "bit varying"),
        ("x", "short", "text"),
        ("x", "mood", "text"),
    ],
)
def test_another_type_is_named_at_start(
    column: str, here: str, wanted: str, database: Database, tmp_path: Path
) -> None:
    database.query("CREATE DOMAIN short AS text DEFAULT 'short'")
    database.query("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    make(database, {**SAME, column: here})
    said = rf"the table kinds of the master is in .* its column {column} is .* there, and {wanted} as the master"
    for kind in ("subscriber", "follower"):
        with pytest.raises(TableMismatch, match=said):
            copied(database, tmp_path / "received", kind=kind)
    assert database.query("SELECT count(*) FROM kinds") == [(0,)]


def test_what_differs_is_told_one_by_one(database: Database) -> None:
    made = Copy()
    made.run("CREATE TABLE kinds (id INT PRIMARY KEY, at TIMESTAMPTZ, n NUMERIC(6,2) DEFAULT 1)")
    make(database, {"at": "TIMESTAMPTZ", "n": "NUMERIC(6,2) DEFAULT 1.00"})
    session = Session(ServerAddress.parse(database.url), "test")

    def beside(refuses: bool = False) -> PresentTable:
        connection = session.open()
        present = read_table(connection, "kinds", with_own=False)
        assert present is not None
        tried = (lambda _: None) if refuses else connection.execute
        return PresentTable(connection, tried, made.connection, read_source(made.connection, "kinds"), present)

    assert beside().difference({}) is None
    assert beside().effects() == {}
    # No table of the server can have a type that the server does not know.
    assert "its column at is timestamp with time zone there" in str(beside(refuses=True).difference({}))
    database.query("ALTER TABLE kinds ALTER n SET DEFAULT 2")
    assert beside().effects() == {"n": {"default": "'1.00'"}}
    session.close()


def test_columns_in_another_order_are_named(database: Database, tmp_path: Path) -> None:
    """An INSERT that names no columns would fill others."""
    database.query("CREATE TABLE two (id INTEGER PRIMARY KEY, b TEXT, a TEXT)")
    make(database, SAME)
    with pytest.raises(TableMismatch, match="its first columns are id, b, a there, and id, a, b on the master"):
        copied(database, tmp_path / "received", "CREATE TABLE two (id INT PRIMARY KEY, a TEXT, b TEXT)")


PARENT = "CREATE TABLE parent (id INT PRIMARY KEY)"
CASCADE = "CREATE TABLE child (id INT PRIMARY KEY, p INT REFERENCES parent (id) ON DELETE CASCADE)"
REST = "CREATE TABLE child (id INT PRIMARY KEY, p INT REFERENCES parent (id))"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (CASCADE, REST),
        (REST, CASCADE),
        (CASCADE.replace("CASCADE", "SET NULL"), CASCADE),
        (CASCADE.replace("DELETE", "UPDATE"), CASCADE),
    ],
)
def test_foreign_keys_that_change_other_rows_are_named(
    here: str, there: str, database: Database, tmp_path: Path
) -> None:
    database.query(PARENT)
    database.query(here)
    with pytest.raises(TableMismatch, match=r"its foreign keys that change rows are .* on the master"):
        copied(database, tmp_path / "received", PARENT, there)


def test_the_same_foreign_keys_are_taken(database: Database, tmp_path: Path) -> None:
    """Also one from a table that is nobody's but the subscriber's."""
    database.query(PARENT)
    database.query(CASCADE)
    database.query("CREATE TABLE own (p INT REFERENCES parent ON DELETE CASCADE)")
    target = copied(database, tmp_path / "received", PARENT, CASCADE, "INSERT INTO parent VALUES (1)")
    give(target, ["INSERT INTO child VALUES (1, 1)", "DELETE FROM parent"], 200)
    assert database.query("SELECT count(*) FROM child") == [(0,)]
    target.close()


def test_unique_keys_decide_what_on_conflict_leaves_out(database: Database, tmp_path: Path) -> None:
    database.query("CREATE TABLE few (id INTEGER PRIMARY KEY, a TEXT)")
    database.query("CREATE TABLE many (id INTEGER PRIMARY KEY, a TEXT UNIQUE)")
    database.query("CREATE TABLE partly (id INTEGER PRIMARY KEY, a TEXT)")
    database.query("CREATE UNIQUE INDEX ON partly (a) WHERE id > 0")
    database.query("CREATE TABLE same (id INTEGER PRIMARY KEY, a TEXT UNIQUE)")
    target = copied(
        database,
        tmp_path / "received",
        "CREATE TABLE few (id INT PRIMARY KEY, a TEXT UNIQUE)",
        "CREATE TABLE many (id INT PRIMARY KEY, a TEXT)",
        "CREATE TABLE partly (id INT PRIMARY KEY, a TEXT)",
        "CREATE TABLE same (id INT PRIMARY KEY, a TEXT UNIQUE)",
    )
    for table in ("few", "many", "partly"):
        given = f"INSERT INTO {table} VALUES (1, 'a') ON CONFLICT DO NOTHING"
        with pytest.raises(StatementRefused, match=f"{table} has other unique keys here than at the master"):
            give(target, [given], 200)
    give(
        target,
        [
            "INSERT INTO few VALUES (1, 'a') ON CONFLICT (id) DO NOTHING",
            "INSERT INTO many VALUES (1, 'a')",
            "INSERT INTO same VALUES (1, 'a')",
            "INSERT INTO same VALUES (2, 'a') ON CONFLICT DO NOTHING",
        ],
        200,
    )
    assert database.query("SELECT id FROM same") == [(1,)]
    target.close()


def test_defaults_that_are_computed_here_are_no_defaults_of_the_master(database: Database, tmp_path: Path) -> None:
    database.query("CREATE SEQUENCE s")
    database.query(
        "CREATE TABLE d (id INTEGER PRIMARY KEY, n INTEGER DEFAULT nextval('s'), at TIMESTAMPTZ DEFAULT now(), "
        "x TEXT DEFAULT CURRENT_USER, y TEXT DEFAULT 'y'::varchar(5), z TEXT)"
    )
    target = PostgresqlTarget(
        ServerAddress.parse(database.url), "s", TargetOptions(nondeterministic=Nondeterministic.APPROXIMATE)
    )
    target.open()
    made = "CREATE TABLE d (id SERIAL PRIMARY KEY, n INT, at TIMESTAMPTZ, x TEXT, y TEXT DEFAULT 'y', z TEXT)"
    target.copy_snapshot(made_snapshot(tmp_path / "received", made), (), 0)
    give(target, ["INSERT INTO d (z) VALUES ('a')", "INSERT INTO d (z, n) VALUES ('b', 7)"], 200, 0)
    assert database.query("SELECT * FROM d ORDER BY id") == [
        (1, None, None, None, "y", "a"),
        (2, 7, None, None, "y", "b"),
    ]
    target.close()


def test_an_identity_of_its_own_is_named(database: Database, tmp_path: Path) -> None:
    database.query("CREATE TABLE d (id INTEGER PRIMARY KEY, n INTEGER GENERATED BY DEFAULT AS IDENTITY)")
    with pytest.raises(TableMismatch, match="its column n is an identity there, and not on the master"):
        copied(database, tmp_path / "received", "CREATE TABLE d (id INT PRIMARY KEY, n INT NOT NULL)")


def test_what_is_not_made_of_a_snapshot_decides_nothing_in_silence(database: Database, tmp_path: Path) -> None:
    """A unique index with a condition leaves rows out at the master, and is not here."""
    made = Copy()
    made.run("CREATE TABLE u (id INT PRIMARY KEY, a TEXT)")
    said = "u has the unique index i at the master, and not here"
    made.keep("left out", "u", {"table": "u", "events": ["ON CONFLICT"], "what": said})
    made.stop("INSERT INTO u VALUES (1, 'a') ON CONFLICT DO NOTHING", said)
    made.run("INSERT INTO u VALUES (1, 'a') ON CONFLICT (id) DO NOTHING")
    path = tmp_path / "received"
    with apsw.Connection(str(path)) as to, to.backup("main", made.connection, "main") as backup:
        backup.step()
    engine = PostgresqlEngine(ServerAddress.parse(database.url))
    engine.open()
    engine.install_snapshot(path, ReplayState(100, 100))
    with pytest.raises(StatementRefused, match=said):
        run(engine, ["INSERT INTO u VALUES (2, 'a') ON CONFLICT DO NOTHING"])
    run(engine, ["INSERT INTO u VALUES (2, 'a') ON CONFLICT (id) DO NOTHING"])
    engine.close()

"""``spgrepl compare FILE postgresql://…``: equal where all is, one changed value found and named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from spgrepl.cli import main
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.snapshot_copy import SnapshotCopy
from spgrepl.postgresql.session import Session
from tests.postgresql.conftest import Database
from tests.postgresql.server import PostgresServer

TABLES = """
CREATE TABLE numbers (id INTEGER PRIMARY KEY, i INTEGER, r REAL, n NUMERIC, f FLOAT);
CREATE TABLE texts (k TEXT PRIMARY KEY, t TEXT, b BLOB, yes BOOLEAN, day DATE);
CREATE TABLE pairs (a TEXT, b INTEGER, v, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE TABLE keyless (x TEXT);
CREATE TABLE reals (k REAL PRIMARY KEY, b BLOB);
CREATE TABLE blobs (k BLOB PRIMARY KEY);
CREATE TABLE empty (id INTEGER PRIMARY KEY);
CREATE TABLE "odd | ""name" (id INTEGER PRIMARY KEY, "a %s b" TEXT);
"""


def fill(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLES)
        number = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) "
        connection.execute(number + "INSERT INTO numbers SELECT n, n * 7919, n / 3.0, n * 0.1, -0.0 FROM c")
        connection.execute(
            number + "INSERT INTO texts SELECT printf('%08x é ~ %d', n * 40503 % 65536, n), "
            "CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'a|b:' || n ELSE '~' END, "
            "CASE n % 3 WHEN 0 THEN NULL ELSE x'00ff' END, n % 2, CASE n % 2 WHEN 0 THEN n ELSE '2024-01-01' END "
            "FROM c"
        )
        connection.execute(number + "INSERT INTO pairs SELECT 'k' || n, n % 7, n * 1.5 FROM c")
        connection.execute(number + "INSERT INTO keyless SELECT 'x' || n FROM c")
        connection.execute("DELETE FROM keyless WHERE rowid % 3 = 0")
        connection.execute("INSERT INTO reals VALUES (0.1, x''), (-1e300, NULL), (1e-300, x'01')")
        connection.execute("INSERT INTO blobs VALUES (x''), (x'00'), (x'ff00')")
        connection.execute('INSERT INTO "odd | ""name" VALUES (1, \'one\'), (2, NULL)')


def copy_to(database: Database, path: Path) -> None:
    session = Session(ServerAddress.parse(database.url), "test")
    connection = session.open()
    own_schema.ensure(connection)
    with closing(sqlite3.connect(path)) as there:
        found = there.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        tables = [name for (name,) in found]
    connection.execute("BEGIN")
    SnapshotCopy(connection, session.address, path, session.features).copy(tables)
    connection.execute("COMMIT")
    session.close()


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer) -> tuple[Path, str]:
    """A database, and the name of one in the server that holds the same."""
    path = tmp_path_factory.mktemp("comparing") / "source.db"
    fill(path, 25_000)
    copy_to(Database(postgres, "compared", postgres.new_database("compared")), path)
    return path, "compared"


@pytest.fixture
def source(copied: tuple[Path, str]) -> Path:
    return copied[0]


@pytest.fixture
def database(copied: tuple[Path, str], postgres: PostgresServer) -> Database:
    return Database(postgres, "changed", postgres.new_database("changed", template=copied[1]))


def compare(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["compare", *map(str, words)])
    said = capsys.readouterr()
    # On a machine that is busy it takes long enough to say how far it is.
    assert all("rows/s" in line for line in said.err.splitlines())
    return code, said.out


def test_what_was_copied_is_equal(source: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(capsys, source, database.url) == (0, f"equal: 8 tables, {25_000 * 3 + 16_667 + 8} rows\n")
    assert compare(capsys, database.url, source, "--table", "texts") == (0, "equal: 1 table, 25000 rows\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE numbers SET i = i + 1 WHERE id = 17123",
            "table numbers, row id=17123, column i: {a} has 135597037",
        ),
        ("UPDATE numbers SET f = 0.5 WHERE id = 2", "row id=2, column f: {a} has 0.0; {b} has 0.5"),
        ("UPDATE numbers SET r = r + 1e-16 WHERE id = 1", "table numbers, row id=1, column r:"),
        ("UPDATE texts SET t = NULL WHERE k = '00009e37 é ~ 1'", "column t: {a} has ''; {b} has NULL"),
        ("UPDATE texts SET t = 'a|b:3' WHERE t = 'a|b:2'", "column t: {a} has 'a|b:2'; {b} has 'a|b:3'"),
        ("UPDATE texts SET yes = NOT yes WHERE k LIKE '% 25000'", "column yes: {a} has 0; {b} has 1"),
        ("DELETE FROM pairs WHERE a = 'k24000'", "table pairs, row b=4, a='k24000': {a} has it, {b} does not"),
        ("INSERT INTO keyless VALUES (3, 'x')", "table keyless, row rowid=3: {b} has it, {a} does not"),
        ("INSERT INTO empty VALUES (1)", "table empty, row id=1: {b} has it, {a} does not"),
        ("UPDATE blobs SET k = '\\x01' WHERE k = '\\x00'", "table blobs, row k=00: {a} has it, {b} does not"),
        ("UPDATE reals SET b = NULL WHERE k = 0.1", "column b: {a} has ; {b} has NULL"),
        ("DROP TABLE empty", "table empty: {b} does not have it"),
        ("ALTER TABLE keyless DROP COLUMN x", "table keyless: in {b} it has no column x there"),
    ],
)
def test_one_difference_is_found_and_named(
    change: str, said: str, source: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    database.query(change)
    code, output = compare(capsys, source, database.url)
    assert code == 1
    assert said.format(a=source, b=database.url) in output.splitlines()[0]
    assert output.splitlines()[-1] in ("1 difference", "2 differences")


def test_tables_that_only_the_server_has_are_named(
    source: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    for statement in (
        "CREATE TABLE more (id int PRIMARY KEY)",
        "CREATE TABLE parts (id int) PARTITION BY LIST (id)",
        "CREATE TABLE part PARTITION OF parts FOR VALUES IN (1)",
        "CREATE VIEW shown AS SELECT 1",
        "CREATE TABLE spgrepl_of_somebody (id int)",
        "CREATE SCHEMA hidden",
        "CREATE TABLE hidden.elsewhere (id int)",
        "CREATE TABLE hidden.empty (id int, other text)",
    ):
        database.query(statement)
    assert compare(capsys, source, database.url) == (
        1,
        "table more: in the second only\ntable parts: in the second only\n2 differences\n",
    )
    code, output = compare(capsys, database.url, source, "--table", "empty")
    assert (code, output) == (0, "equal: 1 table, 0 rows\n")


def test_of_many_differences_the_first_are_named(
    source: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    database.query("UPDATE numbers SET i = 0")
    code, output = compare(capsys, source, database.url)
    assert code == 1
    assert output.splitlines()[-2:] == ["table numbers: more rows differ", "6 differences"]


def test_two_servers_are_compared(
    copied: tuple[Path, str], database: Database, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Database(postgres, copied[1], postgres.url(copied[1]))
    said = f"equal: 8 tables, {25_000 * 3 + 16_667 + 8} rows\n"
    assert compare(capsys, first.url, database.url) == (0, said)
    for change in (
        "UPDATE numbers SET r = r + 1e-16 WHERE id = 1",
        "DELETE FROM texts WHERE k LIKE '% 20000'",
        "INSERT INTO blobs VALUES ('\\xff01')",
        "DROP TABLE empty",
        "ALTER TABLE keyless ALTER COLUMN rowid TYPE numeric",
        "ALTER TABLE pairs ALTER COLUMN v TYPE text USING v::text",
        "CREATE TABLE more (a int)",
    ):
        database.query(change)
    code, output = compare(capsys, first.url, database.url)
    assert code == 1
    assert output.splitlines() == [
        "table empty: in the first only",
        "table more: in the second only",
        "table pairs: its column v is double precision in the first and text in the second",
        f"table blobs, row k=ff01: {database.url} has it, {first.url} does not",
        f"table numbers, row id=1, column r: {first.url} has 0.3333333333333333; "
        f"{database.url} has 0.3333333333333334",
        f"table texts, row k='000088e0 é ~ 20000': {first.url} has it, {database.url} does not",
        "6 differences",
    ]


def test_a_password_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "a.db", "postgresql://user:geheim@host/db"]) == 64
    error = capsys.readouterr().err
    assert "postgresql://user@host/db" in error
    assert "geheim" not in error


def test_a_row_whose_key_is_null_is_found(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """PostgreSQL has no such rows, and no range of keys holds one."""
    database = Database(postgres, "nameless", postgres.new_database("nameless"))
    path = tmp_path / "nameless.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (k TEXT PRIMARY KEY, a TEXT)")
        connection.execute("INSERT INTO t VALUES ('one', 'x')")
        copy_to(database, path)
        connection.execute("INSERT INTO t VALUES (NULL, 'y')")
    code, output = compare(capsys, path, database.url)
    assert code == 1
    assert output.splitlines()[0] == f"table t, row (NULL, 'y'): {path} has it, {database.url} does not"


def test_texts_in_utf_16_are_compared(
    tmp_path: Path, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose order is another one."""
    database = Database(postgres, "wide", postgres.new_database("wide"))
    path = tmp_path / "wide.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA encoding = 'UTF-16le'")
        connection.execute("CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, a TEXT)")
        number = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 12000) "
        connection.execute(
            number + "INSERT INTO t SELECT char(n * 4 + 60) || n, 'x' || n FROM c WHERE n < 13000 OR n > 15000"
        )
    copy_to(database, path)
    assert compare(capsys, path, database.url) == (0, "equal: 1 table, 12000 rows\n")
    database.query("UPDATE t SET a = NULL WHERE a = 'x777'")
    assert compare(capsys, path, database.url)[1].endswith("1 difference\n")

"""Whatever a statement does, the rows of the log make the same database."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.errors import StatementFailed, StatementRefused
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.parts.requests import Request, Written
from spgrepl.primary.writing.writer import DatabaseWriter
from spgrepl.sqlite.database_copy import save_database
from tests.primary.copying import assert_same_on_copy, assert_same_on_follower, opened

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
UNSURE = "k TEXT COLLATE NOCASE, PRIMARY KEY (k COLLATE BINARY)"
FK = "PRAGMA foreign_keys = ON"
KINDS = {
    "conflict clauses": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b NOT NULL DEFAULT 5)",
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)",
        "INSERT OR IGNORE INTO t VALUES (4, 1, 1), (5, 5, 5)",
        "INSERT OR REPLACE INTO t VALUES (6, 1, NULL), (2, 3, 9)",
        "REPLACE INTO t (a, b) VALUES (5, 6)",
        "UPDATE OR REPLACE t SET a = 5 WHERE a = 1",
        "UPDATE OR IGNORE t SET a = 5",
        "UPDATE t SET id = -id",
    ],
    "upsert and returning": [
        "CREATE TABLE t (k TEXT PRIMARY KEY, n INT DEFAULT 0)",
        "INSERT INTO t (k) VALUES ('a'), ('b') RETURNING rowid, *",
        "INSERT INTO t (k) VALUES ('a'), ('c') ON CONFLICT (k) DO UPDATE SET n = n + 1 RETURNING n",
        "INSERT INTO t (k) VALUES ('a') ON CONFLICT DO NOTHING",
        "DELETE FROM t WHERE k = 'b' RETURNING k",
    ],
    "with and update from": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        f"{COUNT} INSERT INTO t SELECT i, i FROM n",
        "UPDATE t SET a = u.s FROM (SELECT id, sum(a) OVER (ORDER BY id) AS s FROM t) AS u WHERE u.id = t.id",
        "WITH x AS (SELECT id FROM t WHERE a > 20) DELETE FROM t WHERE id IN x",
        "INSERT INTO t SELECT id + 1000, random() FROM t LIMIT 7",
        "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY random() LIMIT 3)",
    ],
    "many rows alike": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a, b, s AS (b) STORED)",
        'CREATE TABLE "50%" (a, "%s", c REAL)',
        "CREATE TABLE w (k TEXT, n INT, a, PRIMARY KEY (k, n)) WITHOUT ROWID",
        f"{COUNT} INSERT INTO t (a, b) SELECT i, iif(i = 20, CAST(x'ff' AS TEXT), 'it''s ' || i) FROM n",
        f"{COUNT} INSERT INTO \"50%\" SELECT i, iif(i % 7, 'x', char(0)), i / 4.0 FROM n, (VALUES (1), (2))",
        f"{COUNT} INSERT INTO w SELECT 'k' || i % 5, i, NULL FROM n",
        "UPDATE t SET a = iif(id % 9, a, -a), b = iif(id > 30, b, 5)",
        "UPDATE t SET a = a * 1.0, b = b || ''",
        "UPDATE t SET id = id + 1000 WHERE id > 40",
        'UPDATE "50%" SET "%s" = 1, c = -c WHERE a > 3',
        'UPDATE "50%" SET rowid = rowid + 500, c = 0.0 WHERE rowid > 20',
        'UPDATE "50%" SET c = -0.0',
        "UPDATE w SET a = n, n = n + 100 WHERE k <> 'k3'",
        "CREATE TRIGGER r AFTER UPDATE ON t WHEN NEW.id % 10 = 0 BEGIN DELETE FROM w WHERE n % 10 = NEW.id % 7; "
        "END",
        "UPDATE t SET a = 7",
        "DELETE FROM w",
        'DELETE FROM "50%" WHERE rowid > 5',
        "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO w VALUES ('d', OLD.id, OLD.a); END",
        "DELETE FROM t",
    ],
    "triggers of all kinds": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "CREATE TABLE log (what, old, new, at DEFAULT CURRENT_TIMESTAMP)",
        "CREATE TRIGGER bi BEFORE INSERT ON t BEGIN INSERT INTO log (what, new) VALUES ('bi', NEW.a); END",
        "CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO log (what, new) VALUES ('ai', random()); END",
        "CREATE TRIGGER bu BEFORE UPDATE OF a ON t BEGIN INSERT INTO log VALUES ('bu', OLD.a, NEW.a, 0); END",
        "CREATE TRIGGER au AFTER UPDATE ON t WHEN NEW.a > 5 BEGIN DELETE FROM log WHERE what = 'bi'; END",
        "CREATE TRIGGER bd BEFORE DELETE ON t BEGIN UPDATE log SET old = OLD.a WHERE new = OLD.a; END",
        "CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO t (a) SELECT OLD.a + 1 WHERE OLD.a < 3; END",
        "CREATE TRIGGER ig BEFORE INSERT ON t WHEN NEW.a = 13 BEGIN DELETE FROM log; SELECT RAISE(IGNORE); END",
        "INSERT INTO t (a) VALUES (1), (2), (7)",
        "UPDATE t SET a = a * 3",
        "DELETE FROM t WHERE a = 3",
        "INSERT INTO t (a) VALUES (13), (1)",
        "REPLACE INTO t VALUES (1, 1)",
        "PRAGMA recursive_triggers = ON",
        "REPLACE INTO t VALUES (1, 2)",
        "DELETE FROM t WHERE a < 3",
    ],
    "instead of triggers": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "CREATE VIEW v AS SELECT id, a FROM t LIMIT 3",
        "CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES (NEW.id, NEW.a), (NEW.id + 1, 0); END",
        "CREATE TRIGGER u INSTEAD OF UPDATE ON v BEGIN UPDATE t SET a = NEW.a WHERE id >= OLD.id; END",
        "CREATE TRIGGER d INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE id = OLD.id; END",
        "INSERT INTO v VALUES (1, 1), (5, 5), (8, 8)",
        "UPDATE v SET a = a + 1",
        "DELETE FROM v WHERE id > 2",
    ],
    "foreign keys": [
        FK,
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE ON UPDATE CASCADE)",
        "CREATE TABLE n (p REFERENCES p ON DELETE SET NULL)",
        "CREATE TABLE d (p DEFAULT 1 REFERENCES p ON DELETE SET DEFAULT DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO p VALUES (1), (2), (3), (4)",
        "INSERT INTO c (p) VALUES (1), (2), (2), (3)",
        "INSERT INTO n VALUES (2), (3)",
        "INSERT INTO d VALUES (3)",
        "DELETE FROM p WHERE id = 2",
        "UPDATE p SET id = 30 WHERE id = 4",
        "DELETE FROM p WHERE id = 3",
        "DELETE FROM d",
        "DROP TABLE p",
    ],
    "generated columns": [
        "CREATE TABLE t (a, v AS (a + 1), s AS (a * 2) STORED, id INTEGER PRIMARY KEY, b)",
        "CREATE TABLE u (a, v AS (a || 'x') UNIQUE)",
        "INSERT INTO t (a, b) VALUES (1, 2), (3, CAST(x'ff' AS TEXT)), (NULL, NULL)",
        "INSERT INTO u VALUES (1), (2), (NULL)",
        "UPDATE t SET a = a + 10, id = id + 100",
        "UPDATE OR REPLACE u SET a = 5",
        "DROP TABLE u",
        "CREATE TABLE u (a, v AS (a || 'x'))",
        "CREATE TRIGGER r AFTER UPDATE ON t BEGIN UPDATE t SET b = NEW.s WHERE id = NEW.id; "
        "INSERT INTO u VALUES (NEW.v); END",
        "UPDATE t SET a = 7",
        "DELETE FROM t WHERE v = 8 AND id = 101",
    ],
    "without row numbers, strict, autoincrement": [
        "CREATE TABLE w (a, k TEXT, j INT, PRIMARY KEY (k, j)) WITHOUT ROWID",
        "CREATE TABLE s (i INTEGER PRIMARY KEY, r REAL, t TEXT, b BLOB, x ANY) STRICT",
        "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)",
        "INSERT INTO w VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 1)",
        "UPDATE w SET j = j + 10, a = 9 WHERE k = 'a'",
        "REPLACE INTO w VALUES (5, 'b', 1)",
        "INSERT INTO s VALUES (1, 2, 'x', x'00', 1), (2, 9e999, char(0), zeroblob(3), '1')",
        "UPDATE s SET r = -0.0, x = 1.0",
        "INSERT INTO n (a) VALUES (1), (2)",
        "DELETE FROM n",
        "INSERT INTO n (a) VALUES (1)",
        "UPDATE sqlite_sequence SET seq = 100 WHERE name = 'n'",
        "INSERT INTO n (a) VALUES (2)",
        "DELETE FROM sqlite_sequence",
        "INSERT INTO sqlite_sequence VALUES ('n', 50)",
        "INSERT OR IGNORE INTO n (a) VALUES (2)",
        "INSERT INTO n (a) VALUES (2) ON CONFLICT DO UPDATE SET a = 3",
    ],
    "sequences that no row shows": [
        "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)",
        "CREATE TABLE m (id INTEGER PRIMARY KEY AUTOINCREMENT, a NOT NULL)",
        "CREATE TRIGGER r AFTER INSERT ON n BEGIN INSERT OR IGNORE INTO m (a) VALUES (NULL); END",
        "INSERT INTO n (a) VALUES (1)",
        "INSERT OR IGNORE INTO n (a) VALUES (1)",
        "INSERT OR IGNORE INTO m (a) VALUES (NULL), (NULL)",
        "CREATE TABLE o (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO o SELECT a FROM n WHERE 0",
        "UPDATE sqlite_sequence SET seq = seq + 3",
        "CREATE TABLE p (id INTEGER PRIMARY KEY AUTOINCREMENT)",
        "INSERT INTO p SELECT a FROM n WHERE 0",
        "DELETE FROM sqlite_sequence",
    ],
    "keyless tables": [
        "CREATE TABLE t (a, b)",
        "CREATE TABLE o (rowid, oid TEXT)",
        "CREATE TABLE k (a TEXT PRIMARY KEY, b)",
        "INSERT INTO t VALUES (1, 1), (1, 1), (1, 1)",
        "DELETE FROM t WHERE rowid = 2",
        "INSERT INTO t VALUES (2, 2)",
        "UPDATE t SET rowid = 77 WHERE rowid = 1",
        "UPDATE t SET rowid = 9223372036854775807, a = 5 WHERE a = 2",
        "INSERT INTO t VALUES (3, 3), (4, 4)",
        "INSERT INTO o VALUES (5, 'x'), (5, 'y')",
        "UPDATE o SET oid = 'z' WHERE oid = 'y'",
        "INSERT INTO k VALUES (NULL, 1), (NULL, 1), (NULL, 2), ('x', 1)",
        "UPDATE k SET b = 3 WHERE a IS NULL",
        "DELETE FROM k WHERE a IS NULL AND rowid = 1",
        "UPDATE k SET a = 'y' WHERE rowid = 2",
        "UPDATE k SET rowid = 900 WHERE a = 'x'",
    ],
    "names and collations": [
        'CREATE TABLE "Ä" (a)',
        'CREATE TABLE "ä" (a)',
        'INSERT INTO "ä" VALUES (1)',
        'CREATE TABLE "a ""b" ("Group" PRIMARY KEY, "x y", "select")',
        'INSERT INTO "a ""b" VALUES (\'x\', 1, 2)',
        'UPDATE "a ""b" SET "x y" = 5',
        "CREATE TABLE c (k TEXT COLLATE NOCASE, b, PRIMARY KEY (k COLLATE BINARY))",
        "INSERT INTO c VALUES ('a', 1), ('A', 2), ('b', 3)",
        "UPDATE c SET b = b + 10 WHERE k = 'A'",
        "DELETE FROM c WHERE b = 12",
        "CREATE TABLE INTO2 (VALUES2)",
        "INSERT INTO into2 VALUES (1)",
    ],
    "indexes": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE UNIQUE INDEX p ON t (a) WHERE b > 0",
        "CREATE UNIQUE INDEX e ON t (lower(a) || b DESC)",
        "INSERT INTO t VALUES (1, 'x', 1), (2, 'x', 0), (3, 'y', 1)",
        "UPDATE OR IGNORE t SET b = 1",
        "UPDATE t SET a = CASE a WHEN 'x' THEN 'z' ELSE 'x' END",
        "REINDEX",
        "DROP INDEX p",
    ],
    "full text and rtree": [
        "CREATE VIRTUAL TABLE f5 USING fts5(a, b)",
        "CREATE VIRTUAL TABLE f4 USING fts4(a)",
        "CREATE VIRTUAL TABLE f3 USING fts3(a)",
        "CREATE VIRTUAL TABLE bare USING fts5(a, content='', columnsize=0)",
        "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, +note)",
        "INSERT INTO f5 VALUES ('the quick fox', 'x'), ('lazy dog', 'y')",
        "INSERT INTO f4 VALUES ('quick'), ('brown')",
        "INSERT INTO f3 VALUES ('one two'), ('three')",
        "INSERT INTO bare (rowid, a) VALUES (1, 'nothing is kept but words')",
        "INSERT INTO r VALUES (1, 0, 10, 'a'), (2, 5, 6, 'b')",
        "UPDATE f5 SET a = 'slow' WHERE f5 MATCH 'quick'",
        "DELETE FROM f4 WHERE f4 MATCH 'brown'",
        "DELETE FROM f3 WHERE rowid = 1",
        "UPDATE r SET x1 = 100 WHERE id = 1",
        "INSERT INTO f5 VALUES ('held', 'back')",
        "PRAGMA recursive_triggers = ON",
        "INSERT INTO f5 VALUES ('held', 'again')",
        "CREATE PUBLICATION p",
        "INSERT INTO f5 VALUES ('and', 'again')",
        "SELECT count(*) FROM f5 WHERE f5 MATCH 'again'",
        "INSERT INTO f5 (f5) VALUES ('optimize')",
        "INSERT INTO f5 (f5) VALUES ('rebuild')",
        "INSERT INTO f4 (f4) VALUES ('optimize')",
        "ALTER TABLE f5 RENAME TO five",
        "INSERT INTO five VALUES ('after', 'it')",
        "CREATE TABLE n AS SELECT count(*) AS c FROM five_data",
        "DROP TABLE f4",
        "DELETE FROM r",
    ],
    "alter table": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b TEXT)",
        "CREATE INDEX i ON t (b)",
        "INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y')",
        "ALTER TABLE t ADD COLUMN c NOT NULL DEFAULT 'new'",
        "UPDATE t SET c = 'old' WHERE id = 1",
        "ALTER TABLE t RENAME COLUMN a TO aa",
        "INSERT INTO t (aa) VALUES (3)",
        "ALTER TABLE t RENAME TO u",
        "UPDATE u SET aa = aa + 1",
        "ALTER TABLE u DROP COLUMN aa",
        "UPDATE u SET b = 'z'",
        "ALTER TABLE u ADD COLUMN g AS (id * 2)",
        "INSERT INTO u (b) VALUES ('g')",
    ],
    "tables of queries": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "INSERT INTO t VALUES (1, 'x'), (9, CAST(x'ff00' AS TEXT)), (5, char(0))",
        "CREATE TABLE c AS SELECT id AS 'a b', a, random() AS r, 1.5 AS f, x'00' AS b FROM t ORDER BY a DESC",
        'CREATE TABLE IF NOT EXISTS "C" AS SELECT 1',
        "UPDATE c SET r = 0",
        "CREATE TABLE main.e AS SELECT * FROM t WHERE 0",
        "INSERT INTO e VALUES (1, 2)",
    ],
    "versions and statistics": [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
        "CREATE INDEX i ON t (a)",
        f"{COUNT} INSERT INTO t SELECT i, i % 5 FROM n",
        "PRAGMA user_version = 7",
        "PRAGMA application_id = -5",
        "ANALYZE",
        "UPDATE sqlite_stat1 SET stat = '1 1'",
        "DROP TABLE sqlite_stat1",
        "DELETE FROM t WHERE a = 3",
    ],
    "values": [
        "CREATE TABLE t (a, b INT, c REAL, d TEXT, e NUMERIC)",
        "INSERT INTO t VALUES (9e999, -9e999, 0.1, '1', '1')",
        "INSERT INTO t VALUES (-9223372036854775808, 9223372036854775807, 5e-324, '', 1e300)",
        "INSERT INTO t VALUES (x'', x'00ff', CAST(x'fe' AS TEXT), 'a' || char(0) || 'b', '0x10')",
        "INSERT INTO t VALUES (0.0, -0.0, 1, 2.5, 3.0)",
        "UPDATE t SET a = -0.0 WHERE a = 0.0",
        "UPDATE t SET a = '0' WHERE a = 0.0",
        "UPDATE t SET d = 'it''s \"x\" -- ; /* ? :a @b'",
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("together", [False, True])
def test_the_copy_is_the_same(tmp_path: Path, kind: str, together: bool) -> None:
    """Statement by statement, and all of them in one transaction."""
    statements = KINDS[kind]
    with opened(tmp_path) as writer:
        if together:
            writer.transaction(*statements)
        else:
            for sql in statements:
                writer.execute(sql)
                assert_same_on_copy(writer)
        assert_same_on_copy(writer)
        assert_same_on_follower(writer)


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_databases_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    """Text is read by the database's encoding; what the log cannot state for it is refused."""
    with closing(apsw.Connection(str(tmp_path / "primary.db"))) as connection:
        connection.execute(f"PRAGMA encoding = '{encoding}'; CREATE TABLE t (a, v AS (a || 'x'))")
    with opened(tmp_path) as writer:
        writer.execute("INSERT INTO t VALUES ('é\U0001f600')")
        writer.execute("CREATE TABLE c AS SELECT a FROM t")
        with pytest.raises(StatementFailed, match="encoding UTF-8 only"):
            writer.execute("INSERT INTO t VALUES ('a' || char(0))")
        found = [sql.partition("VALUES")[2] for sql in writer.logged() if sql.startswith("INSERT")]
        assert found == ["(1,'é\U0001f600')"] * 2
        assert writer.rows("SELECT count(*) FROM t") == [(1,)]


def test_a_counter_that_is_undone(tmp_path: Path) -> None:
    """What was known of the counters before a request that failed is known again."""
    with opened(tmp_path, "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)") as writer:
        failing = Request(("INSERT INTO n (a) VALUES (1)", "ALTER TABLE n RENAME TO m", "nonsense"), True)
        writer.run([failing, writer.request("INSERT OR IGNORE INTO n (a) SELECT a FROM n WHERE 0")])
        assert_same_on_copy(writer)


def test_foreign_keys_are_deferred_for_one_request(tmp_path: Path) -> None:
    """And not for the others of its group."""
    tables = ("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE t (p REFERENCES p)")
    with opened(tmp_path, *tables, "INSERT INTO p VALUES (1)", "INSERT INTO t VALUES (1)") as writer:
        writer.execute("PRAGMA foreign_keys = ON")
        again = ("DELETE FROM p", "INSERT INTO p VALUES (1)")
        deferred = Request(("PRAGMA defer_foreign_keys = ON", *again), True)
        first, second, third = writer.run([deferred, Request(again, True), writer.request("DELETE FROM p")])
        assert isinstance(first, Written)
        assert str(second) == str(third) == "FOREIGN KEY constraint failed"
        assert_same_on_follower(writer)


def test_a_counter_that_is_used_up_in_the_same_group(tmp_path: Path) -> None:
    """It is not taken for a full disk, though SQLite calls it so and undoes the whole transaction."""
    with opened(tmp_path, "CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a)") as writer:
        last = writer.request("INSERT INTO n VALUES (9223372036854775807, 1)")
        first, second, third = writer.run([last, writer.request("INSERT INTO n (a) VALUES (2)"), last])
        assert isinstance(first, Written)
        assert "has used its last number" in str(second)
        assert "UNIQUE" in str(third)
        assert_same_on_copy(writer)


def test_rows_of_a_subscription(tmp_path: Path) -> None:
    """They say where they come from, and fire no trigger: what one did at their master comes with them."""
    with opened(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "CREATE TABLE seen (id)") as writer:
        writer.execute("CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (NEW.id); END")
        state = SubscriptionState(("p",), 0, 5, ())
        insert = "INSERT INTO t VALUES ({0}, {0})"
        statements = (insert.format(1), "UPDATE t SET a = 2", "DELETE FROM t", insert.format(2))
        writer.run([Request(statements, True, SubscriptionMark("s", None, state, origins=(0xABC,) * 4))])
        note = " /* origin 0000000000000abc */"
        assert writer.logged()[-6:] == [
            "BEGIN",
            f"INSERT INTO t(id,a)VALUES(1,1){note}",
            f"UPDATE t SET a=2 WHERE id=1{note}",
            f"DELETE FROM t WHERE id=1{note}",
            f"INSERT INTO t(id,a)VALUES(2,2){note}",
            "COMMIT",
        ]
        assert writer.rows("SELECT * FROM seen") == []
        writer.execute("INSERT INTO t VALUES (3, 3)")
        assert writer.rows("SELECT * FROM seen") == [(3,)]
        expected = ["INSERT INTO t(id,a)VALUES(3,3)", "INSERT INTO seen(rowid,id)VALUES(1,3)"]
        assert writer.logged()[-3:-1] == expected
        assert_same_on_copy(writer)


def test_a_table_without_a_name_takes_no_rows_until_it_has_one(tmp_path: Path) -> None:
    with opened(tmp_path, 'CREATE TABLE "" (a)') as writer:
        with pytest.raises(StatementFailed, match=r"^the name of a table is empty, which"):
            writer.execute('INSERT INTO "" VALUES (1)')
        writer.execute('ALTER TABLE "" RENAME TO t')
        writer.execute("INSERT INTO t VALUES (1)")
        assert_same_on_copy(writer)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE x (rowid, _rowid_, OID)", "rows of table x cannot be named"),
        (f"CREATE TABLE x (rowid, _rowid_, oid, {UNSURE})", "cannot be named"),
        (f"CREATE TABLE x ({UNSURE}) WITHOUT ROWID", "cannot be named"),
        ("CREATE TABLE x (k PRIMARY KEY, g AS (k || 'x')) WITHOUT ROWID", "generated columns that are not STORED"),
        ("ALTER TABLE w ADD COLUMN g AS (k || 'x')", "generated columns that are not STORED"),
        ('CREATE TABLE x ("", k PRIMARY KEY)', "the name of a column of table x is empty"),
        ('ALTER TABLE w RENAME COLUMN k TO ""', "the name of a column of table w is empty"),
    ],
)
def test_tables_whose_rows_a_copy_could_not_find(tmp_path: Path, sql: str, message: str) -> None:
    """They are refused when they are made, not when a row is written."""
    with opened(tmp_path, "CREATE TABLE w (k PRIMARY KEY) WITHOUT ROWID") as writer:
        schema = writer.rows("SELECT sql FROM sqlite_master")
        with pytest.raises(StatementFailed, match=message):
            writer.execute(sql)
        assert writer.rows("SELECT sql FROM sqlite_master") == schema
        writer.execute("CREATE TABLE y (rowid, _rowid_, oid, k INTEGER PRIMARY KEY)")
        writer.execute("CREATE TABLE z (k PRIMARY KEY, g AS (k || 'x') STORED) WITHOUT ROWID")
        writer.execute("INSERT INTO z VALUES (1)")
        writer.execute("INSERT INTO y VALUES (1, 2, 3, 4)")
        with pytest.raises(StatementFailed, match="text that is not UTF-8"):
            writer.execute("INSERT INTO z VALUES (CAST(x'ff' AS TEXT))")
        assert_same_on_copy(writer)


def backwards(one: str, other: str) -> int:
    """A collation of an embedding program."""
    return (one < other) - (one > other)


def register(connection: apsw.Connection) -> None:
    """What it registers."""
    connection.create_collation("backwards", backwards)


def test_what_the_schema_needs_at_a_copy(tmp_path: Path) -> None:
    """A collation is registered at the primary and at its copy; without it the copy stops by name."""
    writer = DatabaseWriter(
        DatabasePaths.of(tmp_path / "primary.db"),
        setup=lambda found: found.create_collation("backwards", backwards),
    )
    writer.open()
    sqls = ("CREATE TABLE t (k COLLATE backwards PRIMARY KEY)", "INSERT INTO t VALUES ('a'), ('b')")
    writer.run([Request((sql,)) for sql in sqls])
    writer.close()
    save_database(tmp_path / "primary.db", tmp_path / "snapshot")
    for setup in (register, None):
        copy = SqliteEngine(tmp_path / f"copy{setup is None}.db", setup)
        copy.open()
        shutil.copy(tmp_path / "snapshot", tmp_path / "received")
        copy.install_snapshot(tmp_path / "received", ReplayState(0, 0))
        copy.begin()
        if setup is None:
            with pytest.raises(StatementRefused, match="no such collation sequence: backwards"):
                copy.execute([b"INSERT INTO t(k)VALUES('c')"])
        else:
            copy.execute([b"INSERT INTO t(k)VALUES('c')", b"DELETE FROM t WHERE k='b'"])
        copy.rollback()
        copy.close()

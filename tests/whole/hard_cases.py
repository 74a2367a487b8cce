"""Cases that made copies differ once, or that are hard to write down."""

from __future__ import annotations

from tests.whole.nodes import Script

MAXIMUM = 2**63 - 1

HARD: dict[str, Script] = {
    "an id at the maximum, and the rows after it": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a)",),
        (
            f"INSERT INTO t VALUES ({MAXIMUM}, 1)",
            "INSERT INTO t (a) VALUES (2), (3)",
            "INSERT INTO t (a) VALUES (4)",
        ),
    ),
    "INSERT … SELECT where statistics differ": (
        (
            "CREATE TABLE s (a, b)",
            "CREATE INDEX sa ON s (a)",
            "CREATE INDEX sb ON s (b)",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        ),
        (
            "INSERT INTO s WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
            "SELECT i % 3, i FROM n",
            "INSERT INTO t (v) SELECT b FROM s WHERE a = 1 AND b > 5",
        ),
    ),
    "DELETE … LIMIT in a view": (
        (
            "CREATE TABLE t (a)",
            "CREATE VIEW v AS SELECT a FROM t LIMIT 2",
            "CREATE TRIGGER d INSTEAD OF DELETE ON v BEGIN DELETE FROM t WHERE a = OLD.a; END",
        ),
        (
            "INSERT INTO t VALUES (3), (1), (2)",
            "DELETE FROM v",
            "DELETE FROM t WHERE rowid IN (SELECT rowid FROM t LIMIT 1)",
        ),
    ),
    "a column named rowid": (
        ("CREATE TABLE t (rowid, a)", "CREATE TABLE u (rowid TEXT, oid INT, a)"),
        (
            "INSERT INTO t VALUES (7, 1), (7, 2)",
            "UPDATE t SET rowid = 8 WHERE a = 1",
            "INSERT INTO u VALUES (1, 2, 3), (1, 2, 3)",
            "DELETE FROM u WHERE _rowid_ = 1",
            "DELETE FROM t WHERE rowid = 7",
        ),
    ),
    "tables that differ by the case of a letter beyond ASCII": (
        ('CREATE TABLE "Ä" (a)', 'CREATE TABLE "ä" (a)'),
        ('INSERT INTO "Ä" VALUES (1)', 'INSERT INTO "ä" VALUES (2)', 'UPDATE "Ä" SET a = 3'),
    ),
    "a row set of 40,000 through WITH": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a)",),
        (
            "WITH v AS (VALUES " + ", ".join(f"({number})" for number in range(40_000)) + ") "
            "INSERT INTO t (a) SELECT column1 FROM v",
        ),
    ),
    "a savepoint whose name is a string": (
        ("CREATE TABLE t (a)",),
        (
            (
                "INSERT INTO t VALUES (1)",
                "SAVEPOINT 'a'",
                "INSERT INTO t VALUES (2)",
                "ROLLBACK TO a",
                "INSERT INTO t VALUES (3)",
            ),
        ),
    ),
    "10,001 savepoints in one transaction": (
        ("CREATE TABLE t (a)",),
        ((*(f"SAVEPOINT s{number}" for number in range(10_001)), "INSERT INTO t VALUES (1)"),),
    ),
    "INSTEAD OF views": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a)",
            "CREATE VIEW v AS SELECT a FROM t",
            "CREATE TRIGGER i INSTEAD OF INSERT ON v BEGIN INSERT INTO t (a) VALUES (NEW.a || random()); END",
        ),
        ("INSERT INTO v VALUES ('x'), ('y')",),
    ),
    "a column that only the double quotes make a string": (
        ("CREATE TABLE t (a)", "INSERT INTO t VALUES (0), ('column_that_is_not_there')"),
        (
            'DELETE FROM t WHERE "column_that_is_not_there" = 0',
            'DELETE FROM t WHERE a = "column_that_is_not_there"',
        ),
    ),
    "explicit changes of sqlite_sequence": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE)",),
        (
            "INSERT INTO t (a) VALUES (1)",
            "UPDATE sqlite_sequence SET seq = 40 WHERE name = 't'",
            "INSERT INTO t (a) VALUES (2)",
            "INSERT OR IGNORE INTO t (a) VALUES (2)",
            "INSERT INTO t (a) VALUES (3)",
        ),
    ),
    "DELETE by a column that the copies have not, once": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a, column_that_the_copy_lacks)",),
        (
            "INSERT INTO t VALUES (1, 2, 0), (2, 3, 1)",
            'DELETE FROM "t" WHERE "column_that_the_copy_lacks" = 0',
        ),
    ),
    "rows that change their keys with one another": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "CREATE TABLE k (k TEXT PRIMARY KEY) WITHOUT ROWID"),
        (
            "INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'z')",
            "UPDATE t SET id = -id",
            "UPDATE t SET id = CASE id WHEN -1 THEN 2 WHEN -2 THEN 1 ELSE 3 END",
            "INSERT INTO k VALUES ('a'), ('b')",
            "UPDATE k SET k = k || 'a' WHERE k = 'a'",
            "!UPDATE k SET k = 'b'",
        ),
    ),
    "REPLACE that takes several rows away, with triggers that note it": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE, b UNIQUE)",
            "CREATE TABLE audit (what, at DEFAULT (random()))",
            "CREATE TRIGGER d AFTER DELETE ON t BEGIN INSERT INTO audit (what) VALUES (OLD.id); END",
        ),
        (
            "PRAGMA recursive_triggers = ON",
            "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)",
            "REPLACE INTO t VALUES (1, 2, 3)",
            "UPDATE OR REPLACE t SET a = 2, b = 3",
        ),
    ),
    "an AUTOINCREMENT counter that is used up": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",),
        (
            f"INSERT INTO t VALUES ({MAXIMUM}, 1)",
            "!INSERT INTO t (a) VALUES (2)",
            ("!", "DELETE FROM t", "INSERT INTO t (a) VALUES (2)"),
            "DELETE FROM sqlite_sequence",
            ("!", "UPDATE t SET id = 1", f"INSERT INTO t VALUES ({MAXIMUM}, 1)", "INSERT INTO t (a) VALUES (2)"),
            "INSERT INTO t VALUES (7, 1)",
        ),
    ),
    "statements that fail in their midst": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a CHECK (a < 3))",),
        (
            "!INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
            "!INSERT OR FAIL INTO t VALUES (4, 1), (5, 2), (6, 3)",
            "!INSERT OR ROLLBACK INTO t VALUES (7, 1), (8, 3)",
            ("INSERT INTO t VALUES (9, 1)", "UPDATE OR IGNORE t SET a = a + 1"),
        ),
    ),
}

ON_FOLLOWERS: dict[str, Script] = {
    "statistics that were dropped": (
        (
            "CREATE TABLE s (a, b)",
            "CREATE INDEX sa ON s (a)",
            "INSERT INTO s VALUES (1, 2), (1, 1)",
            "CREATE TABLE t (v)",
        ),
        (
            "ANALYZE",
            "reopen",
            "DROP TABLE sqlite_stat1",
            "INSERT INTO t SELECT b FROM s WHERE a = 1",
            "reopen",
            "INSERT INTO t SELECT b FROM s WHERE a = 1",
            "ANALYZE",
        ),
    ),
    "CREATE TABLE … AS of a shadow table": (
        ("CREATE VIRTUAL TABLE ft USING fts5(a)",),
        ("INSERT INTO ft VALUES ('one two')", "CREATE TABLE n AS SELECT count(*) FROM ft_data"),
    ),
    "full text, optimized and rebuilt": (
        (
            "CREATE VIRTUAL TABLE ft USING fts5(a)",
            "CREATE VIRTUAL TABLE old USING fts4(a)",
            "CREATE VIRTUAL TABLE three USING fts3(a)",
        ),
        (
            "INSERT INTO ft VALUES ('one two'), ('three')",
            "INSERT INTO old VALUES ('one two'), ('three')",
            "INSERT INTO three VALUES ('one')",
            "UPDATE ft SET a = 'four' WHERE rowid = 1",
            "INSERT INTO ft (ft) VALUES ('optimize')",
            "INSERT INTO old (old) VALUES ('optimize')",
            "INSERT INTO ft (ft) VALUES ('rebuild')",
            "DELETE FROM old WHERE rowid = 1",
            "DROP TABLE old",
        ),
    ),
    "ALTER TABLE in all forms": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)", "INSERT INTO t VALUES (1, 2, 3)"),
        (
            "ALTER TABLE t ADD COLUMN c DEFAULT 5",
            "INSERT INTO t VALUES (2, 2, 2, 2)",
            "ALTER TABLE t RENAME COLUMN a TO d",
            "ALTER TABLE t DROP COLUMN b",
            "ALTER TABLE t RENAME TO u",
            "UPDATE u SET d = c",
            "ALTER TABLE u ADD COLUMN e CHECK (e IS NOT 9)",
            "!ALTER TABLE u ADD COLUMN f DEFAULT 9 CHECK (f <> 9)",
            "ALTER TABLE u ADD COLUMN g NOT NULL DEFAULT 'x'",
            "ALTER TABLE u ADD COLUMN h AS (d || g) CHECK (h <> 'no')",
            "ALTER TABLE u ADD COLUMN r REFERENCES u",
            "INSERT INTO u (id, d) VALUES (3, random())",
            "ALTER TABLE u ALTER COLUMN d SET NOT NULL",
            "!INSERT INTO u (id, d) VALUES (4, NULL)",
            "ALTER TABLE u ALTER COLUMN d DROP NOT NULL",
            "ALTER TABLE u ADD CONSTRAINT few CHECK (id < 9)",
            "!INSERT INTO u (id) VALUES (9)",
            "ALTER TABLE u DROP CONSTRAINT few",
            "INSERT INTO u (id) VALUES (9)",
            "CREATE TABLE s (a INTEGER, b TEXT) STRICT",
            "INSERT INTO s VALUES (1, 'x')",
            "ALTER TABLE s ADD COLUMN c REAL NOT NULL DEFAULT 1.5",
            "INSERT INTO s (a) VALUES (2)",
        ),
    ),
    "full text of another table": (
        (
            "CREATE TABLE d (id INTEGER PRIMARY KEY, body)",
            "CREATE TABLE k (id TEXT PRIMARY KEY, n INTEGER UNIQUE, body)",
            "CREATE TABLE bare (body)",
        ),
        (
            "CREATE VIRTUAL TABLE df USING fts5(body, content='d')",
            "CREATE VIRTUAL TABLE db USING fts4(body, content=[bare])",
            "CREATE VIRTUAL TABLE dn USING fts5(body, content=\"k\", content_rowid='n')",
            "CREATE TRIGGER i AFTER INSERT ON d BEGIN INSERT INTO df (rowid, body) VALUES (NEW.id, NEW.body); END",
            "INSERT INTO d VALUES (3, 'one two'), (7, 'three')",
            "INSERT INTO df (df) VALUES ('rebuild')",
            "INSERT INTO df (df, rank) VALUES ('integrity-check', 1)",
        ),
    ),
    "full text of a table whose row numbers stand beside its key": (
        (
            "CREATE TABLE k (id TEXT PRIMARY KEY, body)",
            "CREATE TABLE two (a, b, body, PRIMARY KEY (a, b))",
            "INSERT INTO k (rowid, id, body) VALUES (70, 'a', 'one two'), (7, 'b', 'two'), (8, 'c', 'three')",
            "DELETE FROM k WHERE id = 'b'",
        ),
        (
            "CREATE VIRTUAL TABLE dk USING fts5(body, content='K', content_rowid=rowid)",
            "INSERT INTO dk (dk) VALUES ('rebuild')",
            "CREATE TRIGGER i AFTER INSERT ON k BEGIN INSERT INTO dk (rowid, body) "
            "VALUES (NEW.rowid, NEW.body); END",
            "INSERT INTO k VALUES ('x', 'two'), ('y', 'one')",
            "UPDATE k SET rowid = 3, body = 'two one' WHERE id = 'x'",
            "UPDATE k SET rowid = rowid + 1000 WHERE id = 'y'",
            "INSERT OR REPLACE INTO k VALUES ('a', 'again')",
            'CREATE VIRTUAL TABLE d4 USING fts4(body, content="two")',
            "INSERT INTO two (rowid, a, b, body) VALUES (-5, NULL, 1, 'x'), (9, NULL, 1, 'x'), (2, 3, 4, 'y')",
            "INSERT INTO d4 (d4) VALUES ('rebuild')",
            "UPDATE two SET rowid = 100 WHERE rowid = -5",
            "DELETE FROM two WHERE rowid = 9",
            ("ALTER TABLE two RENAME TO three", "INSERT INTO three (rowid, a, b) VALUES (50, 5, 5)"),
            "ALTER TABLE three RENAME TO two",
            "INSERT INTO dk (dk) VALUES ('rebuild')",
            "INSERT INTO dk (dk, rank) VALUES ('integrity-check', 1)",
        ),
    ),
    "a table that is made again while others refer to it": (
        (
            "CREATE TABLE p (id INTEGER PRIMARY KEY, a)",
            "CREATE TABLE t (p REFERENCES p, b)",
            "INSERT INTO p VALUES (1, 'x'), (2, 'y')",
            "INSERT INTO t VALUES (1, 'x')",
        ),
        (
            "PRAGMA foreign_keys = ON",
            "!DROP TABLE p",
            (
                "PRAGMA defer_foreign_keys = ON",
                "CREATE TABLE kept AS SELECT * FROM p",
                "DROP TABLE p",
                "CREATE TABLE p (id INTEGER PRIMARY KEY, a, c DEFAULT 'c')",
                "INSERT INTO p (id, a) SELECT * FROM kept",
                "DROP TABLE kept",
            ),
            "!INSERT INTO t VALUES (9, 'no such')",
            ("!", "PRAGMA defer_foreign_keys = ON", "DELETE FROM p"),
            ("!", "PRAGMA defer_foreign_keys = ON", "PRAGMA defer_foreign_keys = OFF", "DELETE FROM p"),
            "INSERT INTO t VALUES (2, 'y')",
        ),
    ),
    "numbers of the header": ((), ("PRAGMA user_version = 7", "PRAGMA application_id = 9")),
}

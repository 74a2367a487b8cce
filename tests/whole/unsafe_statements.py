"""The kinds of statement that MySQL's documentation calls unsafe for a log of statements."""

from __future__ import annotations

from tests.whole.nodes import Script

UNSAFE: dict[str, Script] = {
    "functions that give other values each time": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",),
        (
            "INSERT INTO t (a, b) VALUES (random(), hex(randomblob(8))), (CURRENT_TIMESTAMP, julianday('now'))",
            "UPDATE t SET a = random() % 100",
            "INSERT INTO t (a, b) VALUES (last_insert_rowid(), changes()), (total_changes(), sqlite_version())",
        ),
    ),
    "the present user, file or machine": (
        ("CREATE TABLE t (a)",),
        (
            "INSERT INTO t VALUES (sqlite_source_id()), (sqlite_compileoption_get(0))",
            "INSERT INTO t SELECT file FROM pragma_database_list",
        ),
    ),
    "LIMIT without an order": (
        ("CREATE TABLE t (a)", "INSERT INTO t VALUES (3), (1), (2), (9)"),
        (
            "DELETE FROM t WHERE rowid IN (SELECT rowid FROM t ORDER BY random() LIMIT 1)",
            "UPDATE t SET a = -a WHERE rowid IN (SELECT rowid FROM t LIMIT 1)",
            "INSERT INTO t SELECT a FROM t LIMIT 1",
        ),
    ),
    "two tables with counters, by a trigger": (
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",
            "CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT, t INT)",
            "CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO u (t) VALUES (NEW.id); END",
        ),
        ("INSERT INTO t (a) VALUES (1), (2)", "DELETE FROM u", "INSERT INTO t (a) VALUES (3)"),
    ),
    "a counter that is not the first column of the key": (
        ("CREATE TABLE t (a, id INTEGER PRIMARY KEY AUTOINCREMENT)",),
        ("INSERT INTO t (a) SELECT random() UNION ALL SELECT random() ORDER BY 1",),
    ),
    "UPSERT on a table with two unique keys": (
        ("CREATE TABLE t (a UNIQUE, b UNIQUE, c)",),
        (
            "INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y')",
            "INSERT INTO t VALUES (1, 2, 'z') ON CONFLICT DO NOTHING",
            "INSERT INTO t VALUES (1, 3, 'z') ON CONFLICT (a) DO UPDATE SET c = 'new'",
            "REPLACE INTO t VALUES (1, 2, 'both')",
        ),
    ),
    "INSERT … SELECT, REPLACE … SELECT, and those that ignore": (
        (
            "CREATE TABLE s (a)",
            "INSERT INTO s VALUES (2), (1), (2)",
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a UNIQUE)",
        ),
        (
            "INSERT OR IGNORE INTO t (a) SELECT a FROM s",
            "REPLACE INTO t (a) SELECT a FROM s",
            "UPDATE OR IGNORE t SET a = 1",
        ),
    ),
    "floats, in whose text digits are lost": (
        ("CREATE TABLE t (a REAL)",),
        (
            "INSERT INTO t VALUES (0.1 + 0.2), (1.0 / 3), (1e308 * 10), (-0.0), (2.2250738585072014e-308)",
            "INSERT INTO t VALUES (5e-324)",
        ),
    ),
    "triggers that reach through foreign keys": (
        (
            "CREATE TABLE p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE t (p REFERENCES p ON DELETE CASCADE, a)",
            "CREATE TABLE audit (what, at)",
            "CREATE TRIGGER d AFTER DELETE ON t BEGIN "
            "INSERT INTO audit VALUES (OLD.a, datetime('now', 'subsec')); END",
        ),
        (
            "PRAGMA foreign_keys = ON",
            "INSERT INTO p VALUES (1)",
            "INSERT INTO t VALUES (1, 'x'), (1, 'y')",
            "DELETE FROM p",
        ),
    ),
    "defaults that are not constant": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, r DEFAULT (random()), at DEFAULT CURRENT_TIMESTAMP)",),
        ("INSERT INTO t DEFAULT VALUES", "INSERT INTO t (id) VALUES (7), (8)", "UPDATE t SET r = NULL"),
    ),
    "settings of the connection, and tables that describe the database": (
        ("CREATE TABLE t (a)",),
        (
            "PRAGMA recursive_triggers = ON",
            "INSERT INTO t SELECT recursive_triggers FROM pragma_recursive_triggers",
            "INSERT INTO t SELECT sql FROM sqlite_master ORDER BY random()",
            "INSERT INTO t SELECT count(*) FROM pragma_compile_options",
            "!INSERT INTO spgrepl_replay VALUES (1)",
            "!UPDATE sqlite_master SET sql = NULL",
        ),
    ),
    "tables and files that only this connection has": (
        ("CREATE TABLE t (a)",),
        (
            "!CREATE TEMP TABLE here (a)",
            "!CREATE TABLE temp.here (a)",
            "!ATTACH ':memory:' AS other",
            "!LOAD DATA INFILE 'x' INTO TABLE t",
            "INSERT INTO t VALUES (1)",
        ),
    ),
    "transactions that are somebody else's business": (
        ("CREATE TABLE t (a)",),
        ("!BEGIN", "!COMMIT", "!ROLLBACK", ("INSERT INTO t VALUES (1)", "SAVEPOINT s", "RELEASE s")),
    ),
    "a function of the embedding program that counts": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY, a)",),
        ("INSERT INTO t (a) VALUES (next_number()), (next_number())", "UPDATE t SET a = next_number()"),
    ),
    "a collation of the embedding program": (
        ("CREATE TABLE t (a TEXT)", "INSERT INTO t VALUES ('ab'), ('ba'), ('c')"),
        (
            "DELETE FROM t WHERE a IN (SELECT a FROM t ORDER BY a COLLATE backwards LIMIT 1)",
            "UPDATE t SET a = 'x' WHERE a > 'b' COLLATE backwards",
        ),
    ),
}

"""The quirks that SQLite's own documentation lists, an item each."""

from __future__ import annotations

from tests.whole.nodes import Script

QUIRKS: dict[str, Script] = {
    "flexible typing": (
        ("CREATE TABLE t (i INTEGER, v VARCHAR(5), d DATETIME)",),
        ("INSERT INTO t VALUES ('abc', 'longer than five', 'whenever')", "INSERT INTO t VALUES ('12', 12, 12.0)"),
    ),
    "no BOOLEAN and no DATETIME": (
        ("CREATE TABLE t (b BOOLEAN, d DATETIME)",),
        ("INSERT INTO t VALUES (TRUE, CURRENT_TIMESTAMP)", "UPDATE t SET b = NOT b"),
    ),
    "the type is optional": (("CREATE TABLE t (a, b, c)",), ("INSERT INTO t VALUES (1, '1', x'31')",)),
    "foreign keys are off unless asked for": (
        ("CREATE TABLE p (id INTEGER PRIMARY KEY)", "CREATE TABLE t (p REFERENCES p ON DELETE CASCADE)"),
        ("INSERT INTO t VALUES (5)", "INSERT INTO p VALUES (5)", "DELETE FROM p"),
    ),
    "primary keys that may be NULL": (
        ("CREATE TABLE t (k TEXT PRIMARY KEY, a)",),
        (
            "INSERT INTO t VALUES (NULL, 1), (NULL, 2)",
            "UPDATE t SET a = 3 WHERE a = 1",
            "DELETE FROM t WHERE a = 2",
        ),
    ),
    "an aggregate query with a bare column": (
        ("CREATE TABLE s (a, b)", "INSERT INTO s VALUES (1, 'x'), (2, 'y')", "CREATE TABLE t (m, b)"),
        ("INSERT INTO t SELECT max(a), b FROM s",),
    ),
    "no full case folding beyond ASCII": (
        ("CREATE TABLE t (a UNIQUE COLLATE NOCASE)",),
        (
            "INSERT INTO t VALUES ('Ä'), ('ä')",
            "INSERT OR IGNORE INTO t VALUES ('a'), ('A')",
            "DELETE FROM t WHERE a LIKE 'Ä'",
        ),
    ),
    "double-quoted strings": (("CREATE TABLE t (a)",), ('INSERT INTO t VALUES ("text")',)),
    "keywords as names": (
        (
            'CREATE TABLE "union" ("true" INT, "with" BOOLEAN, "select")',
            "CREATE TABLE [begin] (`end` INTEGER PRIMARY KEY)",
        ),
        (
            'INSERT INTO "union" VALUES (1, 2, 3)',
            'UPDATE "union" SET "select" = "true"',
            "INSERT INTO [begin] VALUES (1)",
        ),
    ),
    "dubious SQL that is accepted": (
        (
            "CREATE TABLE t (a LONG VARCHAR DEFAULT 'x' CHECK (a <> 9) COLLATE nocase)",
            "CREATE TABLE u (x, y, PRIMARY KEY (x, x))",
        ),
        ("INSERT INTO t DEFAULT VALUES", "INSERT INTO u VALUES (1, 2)", "REPLACE INTO u VALUES (1, 3)"),
    ),
    "AUTOINCREMENT is not what it is elsewhere": (
        ("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a)",),
        (
            "INSERT INTO t (a) VALUES (1)",
            "DELETE FROM t",
            "INSERT INTO t (a) VALUES (2)",
            "INSERT INTO t VALUES (90, 3)",
        ),
    ),
    "NUL in text": (
        ("CREATE TABLE t (a TEXT)",),
        ("INSERT INTO t VALUES ('a' || char(0) || 'b')", "UPDATE t SET a = a || '!'"),
    ),
    "text and blob in one another's place": (
        ("CREATE TABLE t (a TEXT, b BLOB)",),
        (
            "INSERT INTO t VALUES (CAST(x'ff00' AS TEXT), 'text')",
            "INSERT INTO t VALUES (x'00', CAST('x' AS BLOB))",
        ),
    ),
    "literals that are integers and literals that are text": (
        ("CREATE TABLE t (a, b TEXT, c INTEGER)", "INSERT INTO t VALUES (1, 1, '1'), ('1', '1', 1)"),
        (
            "UPDATE t SET b = 'found' WHERE a = 1",
            "DELETE FROM t WHERE a = '1' AND c = '1'",
            "INSERT INTO t SELECT 1 = '1', b = 1, c = '1' FROM t",
        ),
    ),
    "the precedence of comma joins": (
        (
            "CREATE TABLE p (a)",
            "CREATE TABLE q (b)",
            "CREATE TABLE r (c)",
            "CREATE TABLE t (a, b, c)",
            "INSERT INTO p VALUES (1), (2)",
            "INSERT INTO q VALUES (1), (3)",
            "INSERT INTO r VALUES (2)",
        ),
        ("INSERT INTO t SELECT * FROM p, q RIGHT JOIN r ON p.a = r.c",),
    ),
    "embedded: the file's settings are this program's": (
        ("CREATE TABLE t (a)",),
        (
            "INSERT INTO t SELECT foreign_keys FROM pragma_foreign_keys",
            "INSERT INTO t SELECT name FROM sqlite_schema",
            "!PRAGMA journal_mode = DELETE",
            "!PRAGMA writable_schema = ON",
            "!VACUUM",
        ),
    ),
}

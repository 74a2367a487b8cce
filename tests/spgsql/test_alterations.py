"""ALTER TABLE, DROP, CREATE INDEX and RENAME: SQLite does what the master does, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import pytest

from spgrepl.spgsql.alterations import AlterationReader
from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.typed.schema import Schema
from tests.spgsql.copy import Copy


@pytest.fixture
def copy(copy: Copy) -> Copy:
    copy.run(
        "CREATE TABLE t (id INT PRIMARY KEY, x VARCHAR(5), n SMALLINT, d DATE)",
        "INSERT INTO t VALUES (1, 'a', 1, '2024-01-01'), (2, 'a', 2, NULL)",
    )
    return copy


def alter(copy: Copy, text: str, dialect: Dialect = Dialect.POSTGRESQL) -> None:
    AlterationReader(text, dialect, Schema(copy.connection)).run()


def refused(copy: Copy, text: str, said: str, dialect: Dialect = Dialect.POSTGRESQL) -> None:
    """A statement is refused, and has changed nothing."""
    before = copy.rows("SELECT type, name, sql FROM sqlite_master"), copy.rows("SELECT * FROM t")
    with pytest.raises(StatementStopped, match=said):
        alter(copy, text, dialect)
    assert before == (copy.rows("SELECT type, name, sql FROM sqlite_master"), copy.rows("SELECT * FROM t"))


def family(copy: Copy, action: str) -> None:
    copy.run(
        "CREATE TABLE p (id INT PRIMARY KEY)",
        f"CREATE TABLE c (id INT PRIMARY KEY, p INT REFERENCES p (id) ON DELETE {action})",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO c VALUES (7, 1)",
    )


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_dropping_a_table_leaves_the_rows_of_others(copy: Copy, action: str) -> None:
    family(copy, action)
    refused(copy, "DROP TABLE p CASCADE", "foreign keys of c refer to it")
    assert copy.rows("SELECT id, p FROM c") == [(7, 1)]
    alter(copy, "DROP TABLE IF EXISTS p, nowhere, c")
    assert not Schema(copy.connection).exists("p")


@pytest.mark.parametrize("names", ["p, c", "c, p"])
def test_tables_that_go_together_go_in_any_order(copy: Copy, names: str) -> None:
    copy.connection.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
    copy.connection.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id))")
    copy.connection.execute("INSERT INTO p VALUES (1)")
    copy.connection.execute("INSERT INTO c VALUES (7, 1)")
    alter(copy, f"DROP TABLE {names}")
    assert copy.values("SELECT name FROM sqlite_master WHERE name IN ('p', 'c')") == []


def test_tables_that_refer_to_each_other_go_together(copy: Copy) -> None:
    for one, other in ("pc", "cp"):
        copy.connection.execute(f"CREATE TABLE {one} (id INTEGER PRIMARY KEY, x REFERENCES {other} (id))")
    alter(copy, "DROP TABLE p, c")
    assert copy.values("SELECT name FROM sqlite_master WHERE name IN ('p', 'c')") == []


def test_a_table_with_heirs_is_not_dropped(copy: Copy) -> None:
    copy.keep("table partition", "part", {"role": "child", "parents": ["t"]})
    refused(copy, "DROP TABLE t", "the tables that inherit from it")


def test_what_the_master_does_besides_follows_a_table(copy: Copy) -> None:
    copy.keep("triggers", "tr", {"name": "tr", "table": "t", "events": ["INSERT"]})
    copy.run("ALTER TABLE t RENAME TO u")
    copy.stop("INSERT INTO u (id) VALUES (3)", "the trigger tr of u runs at the master")
    copy.run("RENAME TABLE u TO v", dialect=Dialect.MYSQL)
    copy.stop("INSERT INTO v (id) VALUES (3)", "the trigger tr of v")
    copy.run("DROP TABLE v", "CREATE TABLE v (id INT PRIMARY KEY)", "INSERT INTO v VALUES (3)")


@pytest.mark.parametrize(
    "rest",
    [
        "(x) WHERE n > 0",
        "(x) INCLUDE (n) WHERE n > 0",
        "(x) WITH (fillfactor = 70) WHERE n > 0;",
        "(lower(x))",
        "(x COLLATE nocase)",
        "USING gin (x)",
    ],
)
def test_an_index_that_sqlite_has_not_is_skipped_and_not_unique(copy: Copy, rest: str) -> None:
    refused(copy, f"CREATE UNIQUE INDEX i ON t {rest}", "over an expression, or with a condition")
    alter(copy, f"CREATE INDEX IF NOT EXISTS i ON t {rest}")
    assert copy.values("SELECT name FROM sqlite_master WHERE name = 'i'") == []


def test_indexes(copy: Copy) -> None:
    refused(copy, "CREATE UNIQUE INDEX i ON t (n) INCLUDE (x) NULLS NOT DISTINCT", "NULLs are always distinct")
    alter(copy, "CREATE UNIQUE INDEX CONCURRENTLY ON ONLY t USING btree (n DESC NULLS LAST, x) TABLESPACE s;")
    with pytest.raises(apsw.ConstraintError):
        copy.connection.execute("INSERT INTO t VALUES (3, 'a', 1, NULL)")
    refused(copy, "CREATE INDEX t_n_x_idx ON t (x)", "is there already")
    alter(copy, "DROP INDEX IF EXISTS public.t_n_x_idx, nowhere CASCADE")
    copy.connection.execute("INSERT INTO t VALUES (3, 'a', 1, NULL)")


def columns(copy: Copy) -> Sequence[tuple[str, str]]:
    found = Schema(copy.connection).table("t").columns
    return [(one.name, one.known.label) for one in found]


def test_columns(copy: Copy) -> None:
    alter(
        copy,
        "ALTER TABLE IF EXISTS ONLY public.t RENAME x TO y, ALTER y TYPE VARCHAR(9), ALTER COLUMN n SET DATA TYPE "
        "BIGINT, ADD COLUMN IF NOT EXISTS n INT, ADD z NUMERIC(4,1) NOT NULL DEFAULT 1.25, DROP COLUMN d RESTRICT",
    )
    assert columns(copy) == [("id", "INT"), ("y", "VARCHAR(9)"), ("n", "BIGINT"), ("z", "NUMERIC(4,1)")]
    assert copy.rows("SELECT * FROM t") == [(1, "a", 1, "1.3"), (2, "a", 2, "1.3")]
    alter(copy, "ALTER TABLE IF EXISTS nowhere DROP everything")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ALTER TABLE t ALTER n TYPE TEXT", "from SMALLINT to TEXT"),
        ("ALTER TABLE t ALTER x TYPE VARCHAR(4)", r"from VARCHAR\(5\) to VARCHAR\(4\)"),
        ("ALTER TABLE t ALTER n TYPE BIGINT USING n * 2", "become others at the master"),
        ("ALTER TABLE t ALTER id DROP NOT NULL", "DROP NOT NULL"),
        ("ALTER TABLE t ADD z INT NOT NULL", "NOT NULL, without a default, where rows are"),
        ("ALTER TABLE t ADD z SERIAL", "that the master computes"),
        ("ALTER TABLE t ADD z TIMESTAMPTZ DEFAULT now()", "that the master computes"),
        ("ALTER TABLE t ADD FOREIGN KEY (n) REFERENCES t (id) ON DELETE CASCADE", "cannot be added"),
        ("ALTER TABLE t DROP CONSTRAINT some", "what the constraint some of t is"),
        ("ALTER TABLE t DROP COLUMN none", "no column none"),
        ("ALTER TABLE t DISABLE TRIGGER tr", "DISABLE is not translated"),
        ("ALTER TABLE t SET SCHEMA other", "SET SCHEMA is not translated"),
        ("ALTER TABLE t RENAME TO spgrepl_mine", "spgrepl"),
        ("ALTER VIEW v RENAME TO w", "it is not translated"),
    ],
)
def test_what_is_refused(copy: Copy, text: str, said: str) -> None:
    refused(copy, text, said)


def test_an_index_of_mysql_is_not_a_column(copy: Copy) -> None:
    alter(copy, 'ALTER TABLE t RENAME d TO "index"')
    refused(copy, "ALTER TABLE t DROP INDEX some", "its end is expected", Dialect.MYSQL)
    assert columns(copy)[-1] == ("index", "DATE")

"""Two databases are equal, or the first difference of each table is named."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.cli import main
from spgrepl.errors import LocalFilesDamaged
from spgrepl.sqlite.comparison import Comparison, compare_databases
from tests import sql as sqlite3


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "a.db", tmp_path / "b.db"


def fill(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def compared(two: tuple[Path, Path], first: str, second: str) -> Comparison:
    fill(two[0], first)
    fill(two[1], second)
    return compare_databases(*two)


TABLE = "CREATE TABLE t (a, b);"
FULL = (
    TABLE
    + """
    CREATE TABLE keyed (k TEXT, v, PRIMARY KEY (k)) WITHOUT ROWID;
    CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
    CREATE TABLE odd ("rowid", "_rowid_", "oid" TEXT);
    CREATE TABLE made (a, b AS (a + 1));
    CREATE VIEW v AS SELECT a FROM t;
    CREATE INDEX i ON t (a);
    CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO counted (v) VALUES (new.a); END;
    INSERT INTO t VALUES (1, 'x'), (NULL, x'00ff'), (1.5, CAST(x'ff' AS TEXT));
    INSERT INTO keyed VALUES ('b', 2), ('a', 1);
    INSERT INTO odd VALUES (1, 2, 3), (4, 5, 6);
    INSERT INTO made (a) VALUES (1);
    """
)


def test_equal_databases(two: tuple[Path, Path]) -> None:
    found = compared(two, FULL, FULL)
    assert found.equal
    assert (found.tables, found.rows) == (6, 3 + 2 + 3 + 2 + 1 + 1)


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE t (k TEXT PRIMARY KEY, v)",
        "CREATE TABLE t (k, j BLOB, v, PRIMARY KEY (j, k))",
        "CREATE TABLE t (k INTEGER PRIMARY KEY DESC, v)",
        "CREATE TABLE t (k REAL PRIMARY KEY COLLATE NOCASE, v)",
    ],
)
def test_the_order_of_rows_that_have_a_key_does_not_count(two: tuple[Path, Path], table: str) -> None:
    """Their row numbers are hidden, and others in a copy that was repaired."""
    rows = [f"INSERT INTO t (k, v) VALUES ({one});" for one in ("1, 'x'", "2, NULL", "3, x'00'")]
    assert compared(two, f"{table};{''.join(rows)}", f"{table};{''.join(reversed(rows))}").equal
    for path in two:
        path.unlink()
    rows[1] = "INSERT INTO t (k, v) VALUES (2, 'other');"
    found = compared(two, f"{table};{''.join(rows)}", f"{table};{''.join(reversed(rows)).replace('other', 'one')}")
    assert len(found.differences) == 1
    assert "'other'" in found.differences[0]
    assert "'one'" in found.differences[0]


def test_the_tables_of_the_package_and_statistics_are_left_out(two: tuple[Path, Path]) -> None:
    more = "CREATE TABLE spgrepl_replay (x); CREATE INDEX by_x ON spgrepl_replay (x); ANALYZE;"
    assert compared(two, FULL, FULL + more).equal


def test_tables_that_only_look_like_those_are_compared(two: tuple[Path, Path]) -> None:
    found = compared(two, "CREATE TABLE spgreplx (a);", "")
    assert found.differences == (
        f"table spgreplx: {two[0]} has CREATE TABLE spgreplx (a); {two[1]} has nothing of that name",
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [("1", "1.0"), ("'1'", "1"), ("'a'", "x'61'"), ("NULL", "''"), ("9007199254740993", "9007199254740992.0")],
)
def test_values_of_another_type_differ(two: tuple[Path, Path], first: str, second: str) -> None:
    found = compared(
        two, f"{TABLE} INSERT INTO t VALUES (7, {first})", f"{TABLE} INSERT INTO t VALUES (7, {second})"
    )
    assert len(found.differences) == 1
    assert found.differences[0].startswith("table t, row 1: ")


def test_text_that_is_not_utf8_is_compared_byte_for_byte(two: tuple[Path, Path]) -> None:
    insert = f"{TABLE} INSERT INTO t VALUES (1, CAST(x'%s' AS TEXT))"
    assert not compared(two, insert % "ff", insert % "fe").equal


def test_the_first_differing_row_is_named_with_both_sides(two: tuple[Path, Path]) -> None:
    insert = TABLE + "INSERT INTO t VALUES (1, 'x'), (2, '%s'), (3, 'z')"
    found = compared(two, insert % "y", insert % "Y")
    assert found.differences == (f"table t, row 2: {two[0]} has (2, 2, 'y'); {two[1]} has (2, 2, 'Y')",)
    assert found.rows == 1


def test_a_missing_row_is_named(two: tuple[Path, Path]) -> None:
    found = compared(two, TABLE + "INSERT INTO t VALUES (1, 'x')", TABLE)
    assert found.differences == (f"table t, row 1: {two[0]} has (1, 1, 'x'); {two[1]} has no further row",)


def test_long_values_are_cut(two: tuple[Path, Path]) -> None:
    found = compared(two, f"{TABLE} INSERT INTO t VALUES (1, '{'x' * 5000}')", TABLE)
    assert len(found.differences[0]) < 600


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX i",
        "DROP VIEW v; CREATE VIEW v AS SELECT b FROM t",
        "DROP TRIGGER tr",
        "CREATE TABLE more (x)",
        "ALTER TABLE t ADD COLUMN c",
    ],
)
def test_the_schema_is_compared(two: tuple[Path, Path], change: str) -> None:
    assert len(compared(two, FULL, f"{FULL};{change}").differences) == 1


def test_every_table_that_differs_is_named(two: tuple[Path, Path]) -> None:
    found = compared(two, FULL, FULL + "DELETE FROM keyed; DELETE FROM odd")
    assert [text.split(":")[0] for text in found.differences] == ["table keyed, row 1", "table odd, row 1"]


def test_what_another_writes_in_the_meantime_is_not_seen(two: tuple[Path, Path]) -> None:
    fill(two[0], "PRAGMA journal_mode = wal;" + FULL)
    fill(two[1], FULL)
    with closing(sqlite3.connect(two[0], isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM t")
        assert compare_databases(*two).equal


def test_memory_does_not_depend_on_the_rows(two: tuple[Path, Path]) -> None:
    rows = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    script = f"{TABLE} {rows} INSERT INTO t SELECT i, printf('%0200d', i) FROM n".replace(
        f"{rows} INSERT INTO t", "INSERT INTO t " + rows
    )
    fill(two[0], script)
    fill(two[1], script)
    tracemalloc.start()
    try:
        found = compare_databases(*two)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.rows == 20_000
    assert most < 200_000


def test_what_is_no_database_is_named(two: tuple[Path, Path]) -> None:
    fill(two[0], TABLE)
    two[1].write_bytes(b"SPGENV01" * 1000)
    with pytest.raises(LocalFilesDamaged, match="file is not a database"):
        compare_databases(*two)


def test_the_command_says_equal(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    fill(two[0], FULL)
    fill(two[1], FULL)
    assert main(["compare", *map(str, two)]) == 0
    assert capsys.readouterr().out == "equal: 6 tables, 12 rows\n"


def test_the_command_says_what_differs(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    fill(two[0], FULL)
    fill(two[1], FULL + "DELETE FROM t WHERE a = 1.5")
    assert main(["compare", *map(str, two)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 difference"


def test_the_command_limits_what_it_prints(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    fill(two[0], "".join(f"CREATE TABLE t{number} (a);" for number in range(60)))
    fill(two[1], "")
    assert main(["compare", *map(str, two)]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["and 10 more", "60 differences"]


def test_a_database_that_is_not_there(two: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    fill(two[0], TABLE)
    assert main(["compare", *map(str, two)]) == 66
    assert str(two[1]) in capsys.readouterr().err


def test_only_the_tables_that_are_named_are_compared(tmp_path: Path) -> None:
    first, second = tmp_path / "a.db", tmp_path / "b.db"
    for path, tables in ((first, ("t", "u")), (second, ("t",))):
        with closing(sqlite3.connect(path)) as connection:
            for table in tables:
                connection.execute(f"CREATE TABLE {table} (a)")
                connection.execute(f"CREATE INDEX of_{table} ON {table} (a)")
    assert not compare_databases(first, second).equal
    assert compare_databases(first, second, ["T"]).equal
    assert len(compare_databases(first, second, ["t", "u"]).differences) == 2
    assert compare_databases(first, second, ["nobody"]).differences == ("table nobody: neither database has it",)


def test_row_numbers_of_tables_without_a_key_are_compared(two: tuple[Path, Path]) -> None:
    found = compared(
        two, TABLE + "INSERT INTO t VALUES (1, 2)", TABLE + "INSERT INTO t(rowid, a, b) VALUES (7, 1, 2)"
    )
    (difference,) = found.differences
    assert "(1, 1, 2)" in difference
    assert "(7, 1, 2)" in difference


def test_row_numbers_of_tables_with_a_key_are_their_own_affair(two: tuple[Path, Path]) -> None:
    keyed = "CREATE TABLE k (a TEXT PRIMARY KEY);"
    assert compared(
        two, keyed + "INSERT INTO k VALUES ('x')", keyed + "INSERT INTO k(rowid, a) VALUES (7, 'x')"
    ).equal


@pytest.mark.parametrize("name", ["user_version", "application_id"])
def test_the_numbers_of_programs_are_compared(two: tuple[Path, Path], name: str) -> None:
    found = compared(two, TABLE, TABLE + f"PRAGMA {name} = 9;")
    assert found.differences == (f"{name}: {two[0]} has 0; {two[1]} has 9",)


# -- virtual tables -------------------------------------------------------------------------------------------

WORDS = "INSERT INTO ft (rowid, a, b) VALUES (%s, 'one two', 'three'), (%s, 'two', 'four four')"


@pytest.mark.parametrize(
    "table",
    [
        "CREATE VIRTUAL TABLE ft USING fts5(a, b)",
        "CREATE VIRTUAL TABLE ft USING fts5(a, b, content='', contentless_delete=1)",
        "CREATE VIRTUAL TABLE 'ft' USING \"fts4\"(a, b)",
        "CREATE VIRTUAL TABLE ft USING fts3(a, b)",
    ],
)
def test_full_text_tables_are_compared_by_what_they_hold(two: tuple[Path, Path], table: str) -> None:
    """However their index is laid out: it depends on the order in which rows came, and on when it was merged."""
    optimize = "; INSERT INTO ft (ft) VALUES ('optimize')"
    fill(two[0], f"{table}; {WORDS % (1, 2)}; {WORDS % (3, 4)}{optimize}")
    fill(two[1], f"{table}; {WORDS % (3, 4)}; {WORDS % (1, 2)}")
    assert compare_databases(*two).differences == ()
    assert compare_databases(*two, ["ft"]).differences == ()
    fill(two[1], "INSERT INTO ft (rowid, a, b) VALUES (5, 'five', '')")
    assert not compare_databases(*two).equal
    assert not compare_databases(*two, ["ft"]).equal
    fill(two[0], "INSERT INTO ft (rowid, a, b) VALUES (5, 'more', '')")
    assert not compare_databases(*two).equal
    assert not compare_databases(*two, ["ft"]).equal


def test_an_index_that_does_not_fit_its_rows_is_noticed(two: tuple[Path, Path]) -> None:
    table = "CREATE TABLE t (a); CREATE VIRTUAL TABLE ft USING fts5(a, content='t');"
    found = compared(
        two,
        f"{table} INSERT INTO t VALUES ('one'); INSERT INTO ft (rowid, a) VALUES (1, 'one')",
        f"{table} INSERT INTO t VALUES ('one'); INSERT INTO ft (rowid, a) VALUES (1, 'two')",
    )
    assert [text.partition(",")[0] for text in found.differences] != []


def test_trees_are_compared_by_what_they_hold(two: tuple[Path, Path]) -> None:
    table = "CREATE VIRTUAL TABLE tree USING rtree(id, low, high, +more);"
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) "
    fill(two[0], f"{table} {many} INSERT INTO tree SELECT i, i % 7, i, 'x' || i FROM n")
    fill(two[1], f"{table} {many} INSERT INTO tree SELECT i, i % 7, i, 'x' || i FROM n ORDER BY i * 37 % 301")
    assert compare_databases(*two).differences == ()
    fill(two[1], "UPDATE tree SET high = 500 WHERE id = 17")
    assert not compare_databases(*two).equal


def test_a_database_that_this_process_writes_is_compared_and_harmed_not(two: tuple[Path, Path]) -> None:
    fill(two[0], "PRAGMA journal_mode = wal;" + FULL)
    fill(two[1], FULL)
    with closing(apsw.Connection(str(two[0]))) as writer:
        writer.execute("INSERT INTO t VALUES (7, 7)")
        assert not compare_databases(*two).equal
        assert two[0].with_name("a.db-wal").exists()
        writer.execute("DELETE FROM t WHERE a = 7")
        assert [text for text in compare_databases(*two).differences if "counted" not in text] == []


@pytest.mark.parametrize(("first", "second"), [("0.0", "-0.0"), ("1", "1.0"), ("'a'", "x'61'"), ("NULL", "0")])
def test_values_are_the_same_bit_for_bit(two: tuple[Path, Path], first: str, second: str) -> None:
    insert = f"{TABLE} INSERT INTO t (b) VALUES (%s)"
    assert not compared(two, insert % first, insert % second).equal


def test_collations_of_other_programs_are_not_needed(two: tuple[Path, Path]) -> None:
    for path in two:
        with closing(apsw.Connection(str(path))) as connection:
            connection.create_collation("backwards", lambda one, other: (one < other) - (one > other))
            connection.execute("CREATE TABLE k (a TEXT COLLATE backwards PRIMARY KEY) WITHOUT ROWID")
            connection.execute("INSERT INTO k VALUES ('a'), ('b')")
    assert compare_databases(*two) == Comparison(1, 2, ())

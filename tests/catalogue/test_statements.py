"""The statements that replication itself understands, and what is said of those that are none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.catalogue.statements import (
    CatalogChange,
    ControlStatement,
    ControlSyntaxError,
    CreatePublication,
    CreateSubscription,
    DropPublication,
    DropSubscription,
    Scope,
    SetWalLevel,
    ShowPublications,
    ShowSubscriptions,
    ShowWalLevel,
    SkipRecord,
    WaitForPosition,
    fold_name,
    is_control,
    parse_catalog_change,
    parse_control,
)
from spgrepl.log.wal_level import Level

CHANGES: list[tuple[str, CatalogChange]] = [
    ("CREATE PUBLICATION p", CreatePublication("p", Scope.ALL)),
    ("create publication P for all tables;", CreatePublication("p", Scope.ALL)),
    ("CREATE PUBLICATION p FOR ALL TABLES EXCEPT a, B", CreatePublication("p", Scope.EXCEPT, ("a", "b"))),
    ("CREATE PUBLICATION p FOR TABLE t", CreatePublication("p", Scope.ONLY, ("t",))),
    ("CREATE PUBLICATION p FOR TABLES IN SCHEMA public", CreatePublication("p", Scope.ALL)),
    ("create publication p for all tables in schema PUBLIC;", CreatePublication("p", Scope.ALL)),
    ('CREATE PUBLICATION p FOR TABLE "in", schema', CreatePublication("p", Scope.ONLY, ("in", "schema"))),
    ("CREATE PUBLICATION p FOR TABLES t,u", CreatePublication("p", Scope.ONLY, ("t", "u"))),
    ('CREATE PUBLICATION "My P" FOR TABLES "A b", c', CreatePublication("My P", Scope.ONLY, ("A b", "c"))),
    ("CREATE PUBLICATION p FOR TABLE public.t, other.u", CreatePublication("p", Scope.ONLY, ("t", "other.u"))),
    ('CREATE PUBLICATION p FOR TABLE "Public".t', CreatePublication("p", Scope.ONLY, ("Public.t",))),
    ("CREATE PUBLICATION p FOR TABLE public . all", CreatePublication("p", Scope.ONLY, ("all",))),
    ('CREATE PUBLICATION p FOR TABLE "a""b"', CreatePublication("p", Scope.ONLY, ('a"b',))),
    ('CREATE PUBLICATION p FOR TABLE "for"', CreatePublication("p", Scope.ONLY, ("for",))),
    ("CREATE PUBLICATION ÉTÉ FOR TABLE É_$1", CreatePublication("ÉtÉ", Scope.ONLY, ("É_$1",))),
    ("-- so\nCREATE /* x */ PUBLICATION\np FOR\tTABLE t -- end", CreatePublication("p", Scope.ONLY, ("t",))),
    ("DROP PUBLICATION p", DropPublication("p")),
    ("DROP PUBLICATION IF EXISTS P ;", DropPublication("p", missing_ok=True)),
    ("DROP PUBLICATION if", DropPublication("if")),
    ("DROP PUBLICATION IF EXISTS if", DropPublication("if", missing_ok=True)),
    (
        "CREATE SUBSCRIPTION s CONNECTION 'host=a port=1' PUBLICATION p, q",
        CreateSubscription("s", "host=a port=1", ("p", "q")),
    ),
    ("CREATE SUBSCRIPTION s CONNECTION'it''s'PUBLICATION \"P\"", CreateSubscription("s", "it's", ("P",))),
    ("DROP SUBSCRIPTION S", DropSubscription("s")),
    ("DROP SUBSCRIPTION IF EXISTS s", DropSubscription("s", missing_ok=True)),
]
OTHERS: list[tuple[str, ControlStatement]] = [
    (
        "ALTER SUBSCRIPTION s SKIP (position = 622, crc = '2b0ca2d7')",
        SkipRecord("s", 622, 0x2B0CA2D7),
    ),
    ("alter subscription \"S t\" skip(POSITION=0,CRC='F');", SkipRecord("S t", 0, 15)),
    ("SHOW PUBLICATIONS", ShowPublications()),
    (" ;; show\nsubscriptions -- all\n;", ShowSubscriptions()),
    ("SHOW Effective_WAL_Level", ShowWalLevel()),
    ("SET effective_wal_level = 'logical'", SetWalLevel(Level.LOGICAL)),
    ("SET effective_wal_level='Replica';", SetWalLevel(Level.REPLICA)),
    ("SET effective_wal_level TO logical", SetWalLevel(Level.LOGICAL)),
    ('set effective_wal_level to "replica"', SetWalLevel(Level.REPLICA)),
    ("WAIT FOR WAL POSITION 7", WaitForPosition(7)),
    ("WAIT FOR WAL POSITION 7 WITH TIMEOUT 100", WaitForPosition(7, 0.1)),
    ("wait for wal position 18446744073709551615 with timeout 0", WaitForPosition(2**64 - 1, 0.0)),
]


@pytest.mark.parametrize(("sql", "statement"), [*CHANGES, *OTHERS])
def test_each_form(sql: str, statement: ControlStatement) -> None:
    assert parse_control(sql) == statement


@pytest.mark.parametrize(("sql", "statement"), [*CHANGES, *OTHERS])
def test_they_are_told_by_how_they_begin(sql: str, statement: ControlStatement) -> None:
    assert is_control(sql)
    assert not is_control(f"SELECT 1; {sql}")


@pytest.mark.parametrize(
    "sql",
    ["", "SHOW TABLES", "SET x = 1", "CREATE PUBLICATIONX p", "DELETE FROM t", "'\udc80'", "-- SHOW", "WAIT"],
)
def test_other_statements_do_not_begin_so(sql: str) -> None:
    assert not is_control(sql)


@pytest.mark.parametrize(("sql", "change"), CHANGES)
def test_changes_of_the_catalogue(sql: str, change: CatalogChange) -> None:
    assert parse_catalog_change(sql) == change


@pytest.mark.parametrize(
    "sql", [*(sql for sql, _ in OTHERS), "SHOW PUBLICATIONS of mine", "SET effective_wal_level"]
)
def test_what_changes_nothing_in_a_log_is_not_looked_at(sql: str) -> None:
    assert parse_catalog_change(sql) is None


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "CREATE PUBLICATION",
            "CREATE PUBLICATION: expected the publication's name, found the end of the statement",
        ),
        ("CREATE PUBLICATION p FOR", "CREATE PUBLICATION p: expected ALL TABLES or TABLE, found the end"),
        ("CREATE PUBLICATION p FOR a", "expected ALL TABLES or TABLE, found 'a'"),
        ("CREATE PUBLICATION p FOR ALL", "expected TABLES, found the end"),
        (
            "CREATE PUBLICATION p FOR TABLE",
            "the list of tables is empty: expected a name after TABLE, found the end",
        ),
        ("CREATE PUBLICATION p FOR TABLES IN SCHEMA app", "only the schema public is known"),
        ("CREATE PUBLICATION p FOR TABLES IN", "expected SCHEMA, found the end"),
        ("CREATE PUBLICATION p FOR TABLES ;", "the list of tables is empty"),
        ("CREATE PUBLICATION p FOR TABLE ,a", "the list of tables is empty: .* found ','"),
        ("CREATE PUBLICATION p FOR TABLE a,", "expected the name of one of the tables, found the end"),
        ("CREATE PUBLICATION p FOR TABLE a b", "expected the end of the statement, found 'b'"),
        ("CREATE PUBLICATION p FOR TABLE a.b.c", "expected the end of the statement, found '.'"),
        ("CREATE PUBLICATION p FOR TABLE 'a'", "expected the name of one of the tables, found \"'a'\""),
        ("CREATE PUBLICATION p FOR TABLE [a]", "expected the name of one of the tables, found '\\[a\\]'"),
        (
            "CREATE PUBLICATION p FOR ALL TABLES EXCEPT",
            "the list of tables is empty: expected a name after EXCEPT",
        ),
        ("CREATE PUBLICATION p FOR TABLE all", "found 'all', which is a name in double quotes only"),
        ("CREATE PUBLICATION FOR TABLE t", "expected the publication's name, found 'FOR'"),
        ("CREATE PUBLICATION p q", "expected FOR or the end of the statement, found 'q'"),
        ("CREATE PUBLICATION p; DROP TABLE t", "expected nothing more: one statement at a time, found 'DROP'"),
        ("CREATE PUBLICATION 1p", "expected the publication's name, found '1p'"),
        ('CREATE PUBLICATION ""', "a name has no characters"),
        ('CREATE PUBLICATION "p', "found '\"p', whose quote is never closed"),
        ("CREATE SUBSCRIPTION s", "CREATE SUBSCRIPTION s: expected CONNECTION 'host=… port=…', found the end"),
        ("CREATE SUBSCRIPTION s CONNECTION x", "expected a connection string in single quotes"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x'", "expected PUBLICATION, found the end"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION", "the list of publications is empty"),
        ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION a.b", "expected the end of the statement, found '.'"),
        ("CREATE SUBSCRIPTION s CONNECTION 'open PUBLICATION p", "whose quote is never closed"),
        ("ALTER PUBLICATION p ADD TABLE t", "ALTER PUBLICATION is not understood: drop it, and create it again"),
        ("ALTER SUBSCRIPTION s DISABLE", "ALTER SUBSCRIPTION is not understood: drop it, and create it again"),
        ("ALTER SUBSCRIPTION", "ALTER SUBSCRIPTION is not understood"),
        ("ALTER SUBSCRIPTION s SKIP", r"SKIP: expected \(position = NUMBER, crc = 'HEX'\), found the end"),
        ("ALTER SUBSCRIPTION s SKIP (lsn = '0/16B3748')", "expected .position = NUMBER.*, found 'lsn'"),
        ("ALTER SUBSCRIPTION s SKIP (position = 622)", "expected , crc = 'HEX', found '\\)'"),
        ("ALTER SUBSCRIPTION s SKIP (position = -1, crc = 'a')", "expected a position"),
        ("ALTER SUBSCRIPTION s SKIP (position = 1, crc = '123456789')", "expected the record's CRC"),
        ("ALTER SUBSCRIPTION s SKIP (position = 1, crc = 'x')", "expected the record's CRC in single quotes"),
        ("ALTER SUBSCRIPTION s SKIP (position = 1, crc = 12)", "expected the record's CRC in single quotes"),
        ("ALTER SUBSCRIPTION s SKIP (position = 1, crc = 'a'", "expected \\), found the end"),
        ("DROP PUBLICATION p, q", "expected the end of the statement, found ','"),
        ("DROP SUBSCRIPTION IF EXISTS", "DROP SUBSCRIPTION: expected the subscription's name, found the end"),
        ("DROP TABLE t", "DROP: expected PUBLICATION or SUBSCRIPTION, found 'TABLE'"),
        ("SHOW PUBLICATION", "SHOW: expected PUBLICATIONS, SUBSCRIPTIONS or effective_wal_level"),
        ("SET effective_wal_level", "SET effective_wal_level: expected = or TO, found the end"),
        ("SET effective_wal_level = minimal", "expected 'replica' or 'logical', found 'minimal'"),
        ("SET effective_wal_level = 1", "expected 'replica' or 'logical', found '1'"),
        ("SET effective_wal_level = 'logical' now", "found 'now'"),
        ("WAIT FOR WAL 5", "WAIT: expected POSITION, found '5'"),
        ("WAIT FOR WAL POSITION", "expected a position, a number of bytes from 0 on, found the end"),
        ("WAIT FOR WAL POSITION -1", "expected a position"),
        ("WAIT FOR WAL POSITION 1.5", "expected a position"),
        ("WAIT FOR WAL POSITION 0x10", "expected a position"),
        ("WAIT FOR WAL POSITION 18446744073709551616", "expected a position"),
        ("WAIT FOR WAL POSITION " + "9" * 10_000, "expected a position"),
        ("WAIT FOR WAL POSITION 7 TIMEOUT 5", "expected the end of the statement, found 'TIMEOUT'"),
        ("WAIT FOR WAL POSITION 7 WITH TIMEOUT 1s", "expected a number of milliseconds from 0 on, found '1s'"),
        ("SELECT 1", "the statement: expected CREATE, DROP, ALTER, SHOW, SET or WAIT, found 'SELECT'"),
        ("", "found the end of the statement"),
    ],
)
def test_what_is_none_of_them_is_refused(sql: str, message: str) -> None:
    with pytest.raises(ControlSyntaxError, match=message):
        parse_control(sql)


def test_a_long_name_does_not_make_a_long_message() -> None:
    with pytest.raises(ControlSyntaxError) as caught:
        parse_control(f"CREATE PUBLICATION {'p' * 10_000} FOR {'q' * 10_000}")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "sql", ["CREATE PUBLICATION p FOR TABLE", "ALTER PUBLICATION p", "DROP PUBLICATION", "CREATE TABLE t (a)"]
)
def test_a_change_that_cannot_be_read_is_refused(sql: str) -> None:
    with pytest.raises(ControlSyntaxError):
        parse_catalog_change(sql)


@given(name=st.text(min_size=1).filter(lambda name: "\0" not in name))
def test_any_name_can_be_quoted(name: str) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    assert fold_name(quoted) == name
    assert parse_control(f"CREATE PUBLICATION {quoted}") == CreatePublication(name, Scope.ALL)
    assert parse_control(f"DROP PUBLICATION {quoted}") == DropPublication(name)


@given(st.text(st.sampled_from("CREATEDROPUBLIFS ,.\"'-/*\n;p"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_control("CREATE PUBLICATION " + text)
    except ControlSyntaxError:
        return


@pytest.mark.parametrize(
    "tail",
    [
        "/*" * 20_000,
        "-- x\n" * 20_000,
        "p" + " " * 20_000 + "!",
        "p FOR TABLE " + "a, " * 20_000 + "!",
        "p FOR TABLE a" + "/**/" * 10_000 + "!",
        "p " + ";/**/ " * 10_000 + "!",
        '"' * 20_001,
    ],
)
def test_hostile_text_is_refused_in_linear_time(tail: str) -> None:
    start = time.process_time()
    with pytest.raises(ControlSyntaxError):
        parse_control("CREATE PUBLICATION " + tail)
    assert time.process_time() - start < 2.0


NAMES = st.text(min_size=1).filter(lambda name: "\0" not in name)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@given(st.lists(NAMES, min_size=1, max_size=5), st.sampled_from([" ", "\n", " /* x */ ", "-- y\n"]))
def test_any_list_of_names_is_read_back(names: list[str], gap: str) -> None:
    text = f"{gap},{gap}".join(map(quoted, names))
    tables = tuple(names)
    assert parse_control(f"CREATE PUBLICATION p FOR TABLE{gap}{text}") == CreatePublication(
        "p", Scope.ONLY, tables
    )
    assert parse_control(f"CREATE PUBLICATION p FOR ALL TABLES EXCEPT{gap}{text}{gap};") == CreatePublication(
        "p", Scope.EXCEPT, tables
    )
    assert parse_control(f"CREATE SUBSCRIPTION s CONNECTION 'c' PUBLICATION{gap}{text}") == CreateSubscription(
        "s", "c", tables
    )

"""The functions in place of SQLite's own: the same answers, and a refusal where a copy would answer otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spgrepl.primary.functions import (
    CURRENT_WORDS,
    REFUSED_FUNCTIONS,
    TIME_FUNCTIONS,
    Evaluator,
    FunctionNet,
    explain,
    tells_present_time,
)
from spgrepl.sqltext import SqlValue


@pytest.fixture
def caught() -> Iterator[tuple[sqlite3.Connection, FunctionNet]]:
    """A connection with the net, and the net."""
    with (
        closing(Evaluator()) as evaluator,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as connection,
    ):
        net = FunctionNet(evaluator)
        net.install(connection)
        yield connection, net


SHARED_EVALUATOR = Evaluator()
SHARED_NET = FunctionNet(SHARED_EVALUATOR)
REPLACED = sqlite3.connect(":memory:", isolation_level=None)
SHARED_NET.install(REPLACED)
ORIGINAL = sqlite3.connect(":memory:", isolation_level=None)

times = st.one_of(
    st.sampled_from(
        [
            "now",
            "NOW",
            "2020-02-29",
            "2020-02-29 12:34:56.789",
            "12:00",
            "2020-02-29T12:00:00Z",
            "2020-01-01+02:00",
        ]
    ),
    st.text(max_size=8),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.none(),
    st.binary(max_size=4),
    st.sampled_from([b"now", b"now\0x", "now\0x", b"2020-01-01", "subsec"]),
)
modifiers = st.one_of(
    st.sampled_from(
        [
            "+1 day",
            "-3 months",
            "start of month",
            "weekday 0",
            "unixepoch",
            "julianday",
            "auto",
            "localtime",
            "UTC",
        ]
    ),
    times,
)
calls = st.one_of(
    st.tuples(
        st.sampled_from(["date", "time", "datetime", "julianday", "unixepoch"]), st.lists(modifiers, max_size=3)
    ).map(lambda call: (call[0], tuple(call[1]))),
    st.tuples(st.sampled_from(["%s", "%Y-%m-%d %f", "%J %w", "x", ""]), st.lists(modifiers, max_size=3)).map(
        lambda call: ("strftime", (call[0], *call[1]))
    ),
)


@given(calls)
@example(("date", ("2020-01-31", "+1 month")))
@example(("strftime", ()))
def test_answers_are_those_of_sqlite(call: tuple[str, tuple[SqlValue, ...]]) -> None:
    """Whatever the arguments, a call gives SQLite's value or is caught, and is caught only where it must be."""
    name, arguments = call
    query = (
        f"SELECT {name}({','.join('?' * len(arguments))}) AS a, typeof({name}({','.join('?' * len(arguments))}))"
    )
    SHARED_NET.take()
    if tells_present_time(name, arguments):
        with pytest.raises(sqlite3.OperationalError):
            REPLACED.execute(query, arguments * 2)
        assert SHARED_NET.take() == name
    else:
        expected = ORIGINAL.execute(query, arguments * 2).fetchall()
        assert REPLACED.execute(query, arguments * 2).fetchall() == expected
        assert SHARED_NET.take() is None


@pytest.mark.parametrize(
    "expression",
    [
        "random()",
        "randomblob(4)",
        "current_timestamp",
        "CURRENT_DATE",
        "current_time",
        "last_insert_rowid()",
        "changes()",
        "total_changes()",
        "sqlite_version()",
        "sqlite_source_id()",
        "datetime()",
        "datetime('now')",
        "datetime('n' || 'ow')",
        "strftime('%s')",
        "date(x'6e6f77')",
        "date('2020-01-01', 'LocalTime')",
    ],
)
@pytest.mark.parametrize("place", ["default", "trigger", "view", "select"])
def test_calls_are_caught_wherever_they_stand(
    caught: tuple[sqlite3.Connection, FunctionNet], expression: str, place: str
) -> None:
    """From a default, a trigger, a view and the statement itself."""
    connection, net = caught
    connection.execute(f"CREATE TABLE t (a, b{f' DEFAULT ({expression})' if place == 'default' else ''})")
    connection.execute(f"CREATE VIEW v AS SELECT {expression if place == 'view' else 1} AS c")
    if place == "trigger":
        connection.execute(f"CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET b = {expression}; END")
    source = "SELECT c FROM v" if place == "view" else f"SELECT {expression if place == 'select' else 1}"
    with pytest.raises(sqlite3.OperationalError):
        connection.execute(f"INSERT INTO t (a) {source}")
    name = net.take()
    assert name == expression.split("(", maxsplit=1)[0].lower()
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_time_functions_stay_good_for_schemas(caught: tuple[sqlite3.Connection, FunctionNet]) -> None:
    """Indexes, generated columns and constraints may go on using them."""
    connection, _ = caught
    connection.execute("CREATE TABLE t (a, b AS (date(a)) STORED, CHECK (julianday(a) IS NOT NULL))")
    connection.execute("CREATE INDEX i ON t (strftime('%Y', a))")
    connection.execute("INSERT INTO t VALUES ('2020-01-01 10:00')")
    assert connection.execute("SELECT b FROM t").fetchall() == [("2020-01-01",)]
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("INSERT INTO t VALUES ('now')")


def test_a_default_that_is_not_used_is_not_called(caught: tuple[sqlite3.Connection, FunctionNet]) -> None:
    """INSERT OR REPLACE looks at the default of a NOT NULL column only for a NULL."""
    connection, net = caught
    connection.execute("CREATE TABLE t (a NOT NULL DEFAULT CURRENT_TIMESTAMP, b NOT NULL DEFAULT (random()))")
    connection.execute("INSERT OR REPLACE INTO t VALUES (1, 2)")
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("INSERT OR REPLACE INTO t VALUES (NULL, 2)")
    assert net.take() == "current_timestamp"


@pytest.mark.parametrize("name", sorted(REFUSED_FUNCTIONS | CURRENT_WORDS | set(TIME_FUNCTIONS)))
def test_each_refusal_says_what_to_write(name: str) -> None:
    """The name, and an advice behind the colon."""
    reason, _, advice = explain(name).partition(": ")
    assert name in reason.lower()
    assert len(advice) > 10

"""Types whose values are ordered, or become others, by rules of the master."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.types import TEXT
from spgrepl.spgsql.typed.schema import LabelType
from spgrepl.spgsql.typed.typing_rules import common
from tests.spgsql.copy import Copy


@pytest.fixture
def copy(copy: Copy) -> Copy:
    copy.run("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, m mood, e TEXT, s TEXT, x TEXT)")
    for column, details in (("e", '{"enum_labels": ["low", "high"]}'), ("s", '{"set_labels": ["a", "b"]}')):
        change = "UPDATE spgrepl_spg_columns SET details = ? WHERE column_name = ?"
        copy.connection.execute(change, (details, column))
    copy.keep("note", "t", [])  # reads the columns again
    copy.run("INSERT INTO t VALUES (1, 'sad', 'low', 'a', 'low'), (2, 'glad', 'high', 'b', NULL)")
    return copy


@pytest.mark.parametrize("column", ["m", "e", "s"])
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM t WHERE {} > 'high'",
        "DELETE FROM t WHERE {} BETWEEN 'high' AND 'low'",
        "UPDATE t SET x = (SELECT max({}) FROM t)",
        "DELETE FROM t WHERE id IN (SELECT id FROM t ORDER BY {}, id LIMIT 1)",
    ],
)
def test_the_order_of_labels_is_the_masters(copy: Copy, statement: str, column: str) -> None:
    text = statement.format(column)
    if column != "e":
        text = text.replace("'high'", "'glad'" if column == "m" else "'b'").replace("'low'", "'a'")
    copy.stop(text, "the order of the labels of an enum, or of a SET")


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE t SET e = 2", "2 is none of the labels low, high"),
        ("UPDATE t SET e = 'HIGH'", "HIGH is none of the labels"),
        ("UPDATE t SET s = 'b,a'", "b,a is none of the labels a, b"),
        ("DELETE FROM t WHERE e = 'LOW'", "LOW is none of the labels"),
        ("UPDATE t SET e = x", "what becomes of a text in the place of a label"),
    ],
)
def test_what_is_no_label_becomes_one_at_the_master(copy: Copy, statement: str, said: str) -> None:
    copy.stop(statement, said)
    copy.stop(statement, said, Dialect.MYSQL)


def test_labels_as_they_stand(copy: Copy) -> None:
    copy.run("UPDATE t SET e = 'high', m = 'glad', s = NULL WHERE e = 'low' AND m <> 'glad' AND s IN ('a')")
    copy.run("INSERT INTO t (id, e) SELECT id + 10, e FROM t WHERE m = 'glad'")
    assert copy.rows("SELECT id, m, e, s FROM t ORDER BY id") == [
        (1, "glad", "high", None),
        (2, "glad", "high", "b"),
        (11, None, "high", None),
        (12, None, "high", None),
    ]
    copy.run("SELECT m INTO u FROM t")
    copy.stop("DELETE FROM u WHERE m < 'sad'", "the order of the labels")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE u SET v = x",
        "UPDATE u SET v = i",
        "UPDATE u SET v = b",
        "UPDATE u SET v = TRUE",
        "UPDATE u SET v = v || 'bcd'",
        "UPDATE u SET v = 'abc '",
        "INSERT INTO u (id, v) SELECT 2, x FROM u",
        "UPDATE u SET n = x || n",
        "UPDATE u SET n = '" + "é" * 32 + "'",
    ],
)
def test_a_text_that_may_be_cut_at_the_master_is_a_stop(copy: Copy, statement: str) -> None:
    copy.run("CREATE TABLE u (id INT PRIMARY KEY, x TEXT, v VARCHAR(3), n NAME, i INT, b BOOL)")
    copy.run(f"INSERT INTO u VALUES (1, 'abc ', 'a', '{'n' * 63}', 1234, FALSE)")
    copy.stop(statement, "a text of more than|is not known here")
    copy.run("UPDATE u SET x = 'abc', n = 'n', i = 123, b = TRUE")
    copy.run("UPDATE u SET v = x", "UPDATE u SET v = i", "UPDATE u SET n = x || n", "UPDATE u SET v = NULL")
    assert copy.rows("SELECT v, n FROM u") == [(None, "abcn")]


def test_an_infinite_number_has_no_precision(copy: Copy) -> None:
    copy.run("CREATE TABLE u (id INT PRIMARY KEY, n NUMERIC(6,2), m NUMERIC)")
    copy.run("INSERT INTO u VALUES (1, 'NaN', 'Infinity')")
    copy.stop("UPDATE u SET n = 'Infinity'", "is not known here")


def test_labels_and_texts_are_texts_together() -> None:
    label = LabelType(TEXT.tag, (), ("low", "high"))
    assert common([label, label]) == label
    assert common([label, TEXT]) == TEXT

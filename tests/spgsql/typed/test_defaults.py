"""What a column holds that a statement says nothing of."""

from __future__ import annotations

import pytest

from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.typed.defaults import default_of, has_moving_default, is_next_number, stored_default
from spgrepl.spgsql.typed.expressions import Compiler
from tests.spgsql.copy import NOW, NOW_TEXT, Copy
from tests.spgsql.typed.kit import Asked, read


@pytest.fixture
def asked(copy: Copy) -> Asked:
    copy.run("CREATE SEQUENCE s")
    copy.run(
        "CREATE TABLE t (id BIGSERIAL PRIMARY KEY, plain INT, five INT DEFAULT 5, hex BYTEA DEFAULT '\\x00ff', "
        "low TEXT DEFAULT lower('A''?1'), ts TIMESTAMPTZ DEFAULT now(), day TIMESTAMPTZ DEFAULT CURRENT_DATE, "
        "odd TEXT DEFAULT soundex('x'), n INT DEFAULT nextval('s'), g TEXT DEFAULT nextval('s'))"
    )
    copy.connection.execute("INSERT INTO t (id) VALUES (41)")
    return Asked(copy, approximate=True)


def default(asked: Asked, name: str, approximate: bool = True) -> object:
    table = asked.schema.table("t")
    compiler = Compiler(asked.schema, [], Dialect.POSTGRESQL, approximate, False)
    sql = default_of(compiler, table, table.column(name))
    values = [one.value([], lambda: NOW) for one in compiler.take_bindings()]
    return asked.connection.execute(f"SELECT {sql}", values).fetchone()[0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", 42),
        ("plain", None),
        ("five", 5),
        ("hex", b"\x00\xff"),
        ("low", "a'?1"),
        ("ts", f"{NOW_TEXT}+00"),
        ("day", f"{NOW_TEXT[:10]} 00:00:00+00"),
        ("n", 1),
    ],
)
def test_the_value_of_a_default(asked: Asked, column: str, value: object) -> None:
    assert default(asked, column) == value


@pytest.mark.parametrize("column", ["id", "ts", "n"])
def test_what_is_the_replicas_own_is_named_with_its_column(asked: Asked, column: str) -> None:
    with pytest.raises(NotDeterministic, match=rf"t\.{column}"):
        default(asked, column, approximate=False)
    assert has_moving_default(asked.schema.table("t").column(column))


def test_what_is_not_known_is_named_with_its_column(asked: Asked) -> None:
    with pytest.raises(
        StatementStopped, match=r"the default of t\.odd, soundex\('x'\), is evaluated at the master"
    ):
        default(asked, "odd")
    with pytest.raises(StatementStopped, match=r"nextval\(\) in a column of type TEXT"):
        default(asked, "g")


def test_parameters_of_a_default_stand_beside_those_of_the_statement(asked: Asked) -> None:
    table = asked.schema.table("t")
    _, literals = read("replace('one', 'two', 'three')")
    compiler = asked.compiler(literals)
    before = compiler.value(read("replace('one', 'two', 'three')")[0], asked.scope, table.column("low").known)
    sql = f"{before} || {default_of(compiler, table, table.column('low'))}"
    values = [one.value(literals, lambda: NOW) for one in compiler.take_bindings()]
    assert asked.connection.execute(f"SELECT {sql}", values).fetchone() == ("onea'?1",)


def test_a_changed_default_moves(copy: Copy) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, x INT DEFAULT 1, y INT)", "ALTER TABLE t ALTER x SET DEFAULT 2")
    asked = Asked(copy)
    table = asked.schema.table("t")
    assert [has_moving_default(column) for column in table.columns] == [False, True, False]
    assert default(asked, "x") == 2
    assert stored_default({"hex": "00ff"}) == b"\x00\xff"


def test_next_numbers() -> None:
    texts = {"nextval('s')": True, "nextval('s'::text)::int": True, "lower('s')": False, "1": False}
    assert {text: is_next_number(read(text)[0]) for text in texts} == texts

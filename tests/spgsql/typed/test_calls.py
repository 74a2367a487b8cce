"""Functions that mean the same here: they are asked beside Python's."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.nodes import Call
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.language.types import BIGINT, FLOAT, INT, TEXT, UUID
from spgrepl.spgsql.typed.calls import RANDOM, UUIDS, call
from spgrepl.spgsql.typed.expressions import Compiler
from spgrepl.spgsql.typed.scopes import Scope
from tests.spgsql.copy import Copy
from tests.spgsql.typed.kit import Asked, read

WORDS = st.text(string.ascii_letters + " -", max_size=12)


@pytest.fixture(scope="module")
def asked() -> Asked:
    copy = Copy()
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, x TEXT, n NUMERIC, f FLOAT, d DATE, c CHAR(3))")
    copy.run("INSERT INTO t VALUES (1, 'b', 10, 1, '2024-01-01'), (2, 'a', 9, 2, NULL)")
    return Asked(copy)


def called(asked: Asked, text: str, kind: SpgType) -> list[object]:
    def put(compiler: Compiler, node: object) -> str:
        assert isinstance(node, Call)
        return compiler.coerced(call(compiler, node, asked.scope, kind), kind)

    return asked.ask(text, put)


@settings(max_examples=30)
@given(one=WORDS, two=WORDS, number=st.integers(-(2**31), 2**31))
def test_functions_of_texts_and_numbers(asked: Asked, one: str, two: str, number: int) -> None:
    wanted = {
        f"lower('{one}')": one.lower(),
        f"upper('{one}')": one.upper(),
        f"replace('{one}', 'a', '{two}')": one.replace("a", two),
        f"btrim('{one}')": one.strip(" "),
        f"ltrim('{one}')": one.lstrip(" "),
        f"rtrim('{one}')": one.rstrip(" "),
        f"char_length('{one}')": str(len(one)),
        f"coalesce(NULL, '{one}', '{two}')": one,
        f"nullif('{one}', '{two}')": None if one == two else one,
        f"abs({number})": str(abs(number)),
    }
    for text, value in wanted.items():
        kind = BIGINT if text.startswith("abs") else INT if text.startswith("char") else TEXT
        found = called(asked, text, kind)[0]
        assert (found if found is None else str(found)) == value, text


def test_what_is_over_all_rows(asked: Asked) -> None:
    assert called(asked, "count(*)", BIGINT) == [2]
    assert called(asked, "count(d)", BIGINT) == [1]
    assert called(asked, "count(DISTINCT x)", BIGINT) == [2]
    assert called(asked, "sum(id)", BIGINT) == [3]
    assert called(asked, "min(x)", TEXT) == ["a"]
    assert called(asked, "max(n)", SpgType(10, (0, 0))) == ["10"], "not by the order of texts"


@pytest.mark.parametrize("name", sorted(RANDOM | UUIDS))
def test_what_is_the_replicas_own(asked: Asked, name: str) -> None:
    node, literals = read(f"{name}()")
    assert isinstance(node, Call)
    with pytest.raises(NotDeterministic, match="another value here"):
        call(asked.compiler(literals), node, Scope(), None)
    compiler = Compiler(asked.schema, literals, Dialect.POSTGRESQL, True, False)
    assert call(compiler, node, Scope(), None).type == (FLOAT if name in RANDOM else UUID)
    assert compiler.approximated == [("", f"{name}()")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nextval('s')", "it is not the value of a column"),
        ("currval('s')", "of the master's session"),
        ("soundex(x)", "not known to mean the same"),
        ("sum(DISTINCT id)", "not known to mean the same"),
        ("lower(id)", "what is not a text"),
        ("lower(x, x)", "with 2 arguments"),
        ("lower(*)", "with 0 arguments"),
        ("coalesce()", "without arguments"),
        ("coalesce(*)", "without arguments"),
        ("abs(n)", r"abs\(\) of NUMERIC"),
        ("floor(f)", r"floor\(\) of FLOAT"),
        ("sum(n)", r"sum\(\) of NUMERIC"),
        ("max(f)", r"max\(\) of FLOAT"),
        ("count(DISTINCT d)", r"count\(DISTINCT …\) of DATE"),
    ],
)
def test_what_is_refused(asked: Asked, text: str, said: str) -> None:
    with pytest.raises(StatementStopped, match=said):
        called(asked, text, BIGINT)

"""SPG's types by name: what a type is called, it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spg.values.types import TYPE_TAGS, SpgType
from spgrepl.spgsql.language.grammar import ExpressionReader
from spgrepl.spgsql.language.lexing import Dialect, lex
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import SERIALS, Family, declared_type, element_of, family_of, type_of

PARAMETERS = {6: (3,), 8: (20,), 9: (4,), 10: (5, 1), 14: (3,), 15: (3,), 29: (2,), 49: (5,), 69: (300, -2)}
PARAMETERS |= {70: (8,), 71: (8,)}
NAMELESS = {47, 61, 64}
"""VARCHAR by itself is TEXT, and so are its elements; BIT is BIT(1); and "char" is not made by DDL."""


def read(text: str, dialect: Dialect = Dialect.POSTGRESQL, version: int | None = None) -> SpgType | None:
    reader = ExpressionReader(lex(text, dialect), dialect)
    name = reader.type_name()
    reader.expect_end()
    return type_of(name, dialect, version)


@pytest.mark.parametrize("tag", sorted(TYPE_TAGS - NAMELESS))
def test_each_type_is_found_by_its_label(tag: int) -> None:
    kind = SpgType(tag, PARAMETERS.get(tag, ()))
    assert declared_type(kind.label) == kind
    assert declared_type(f" {kind.label.lower()} ") == kind


@pytest.mark.parametrize("tag", sorted(TYPE_TAGS))
def test_an_array_has_elements_of_its_type(tag: int) -> None:
    kind = SpgType(tag, PARAMETERS.get(tag, ()))
    if not kind.label.endswith("[]"):
        assert family_of(kind) is not Family.ARRAY
        return
    if family_of(kind) is Family.ARRAY:
        element, dimensions = element_of(kind)
        assert kind.label.count("[]") == dimensions
        assert element.label in (kind.label.removesuffix("[]" * dimensions), "TEXT", "NUMERIC(0,0)")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("character varying(7)", "VARCHAR(7)"),
        ("VARCHAR", "TEXT"),
        ("bpchar", "CHAR(1)"),
        ("numeric(5)", "NUMERIC(5,0)"),
        ("double precision[]", "FLOAT[]"),
        ("pg_catalog.int8", "BIGINT"),
        ("int array", "INT[]"),
        ("text[3][3]", "TEXT[][]"),
        ("timestamp without time zone", "TIMESTAMP"),
        ("mood", None),
    ],
)
def test_other_names(text: str, label: str | None) -> None:
    found = read(text)
    assert (found and found.label) == label


def test_what_only_mysql_calls_so() -> None:
    assert [read(one, Dialect.MYSQL) for one in ("int(11)", "datetime(6)")] == [SpgType(1), SpgType(12)]
    assert read("longtext") is None
    assert SERIALS["serial8"] == declared_type("BIGSERIAL") == SpgType(2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int(11)", "is not known here"),
        ("float(10)", "FLOAT with a precision"),
        ("vector", "without its length"),
        ("numeric(0)", "beyond what PostgreSQL takes"),
        ("numeric(1001)", "beyond what PostgreSQL takes"),
        ("char(0)", "beyond what PostgreSQL takes"),
        ("char(99999999999)", "beyond what PostgreSQL takes"),
        ("varchar(1,2)", "takes one number"),
        ("money[][]", "how SPG stores"),
    ],
)
def test_what_cannot_be_told_is_refused(text: str, said: str) -> None:
    with pytest.raises(StatementStopped, match=said):
        read(text)
    assert declared_type(text) is None


def test_real_had_eight_bytes_once() -> None:
    assert read("real", version=76) == SpgType(68)
    with pytest.raises(StatementStopped, match="four bytes or in eight"):
        read("real", version=75)


@given(st.text(max_size=20))
def test_any_declaration_of_sqlite_is_known_or_not(text: str) -> None:
    found = declared_type(text)
    assert found is None or found.tag in TYPE_TAGS

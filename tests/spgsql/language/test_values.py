"""What a column of each type stores for a literal: the value that the reader of snapshots gives."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language.grammar import ExpressionReader
from spgrepl.spgsql.language.lexing import Literal, TokenKind, lex
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import declared_type, type_of
from spgrepl.spgsql.language.values import stored


def kind(name: str) -> SpgType:
    reader = ExpressionReader(lex(name))
    found = type_of(reader.type_name())
    reader.expect_end()
    assert found is not None
    return found


def number(text: str) -> Literal:
    return Literal(TokenKind.NUMBER, text)


def string(text: str) -> Literal:
    return Literal(TokenKind.STRING, text)


STORED: list[tuple[str, Literal, object]] = [
    ("INT", number("5"), 5),
    ("INT", string(" -7 "), -7),
    ("INT", number("5.0"), 5),
    ("BIGINT", number("-9223372036854775808"), -(2**63)),
    ("FLOAT", number("1e3"), 1000.0),
    ("FLOAT", string("NaN"), "NaN"),
    ("FLOAT", string("-infinity"), "-Infinity"),
    ("REAL", number("0.1"), 0.10000000149011612),
    ("NUMERIC(5,1)", number("2.25"), "2.3"),
    ("NUMERIC(5,1)", number("-2.25"), "-2.3"),
    ("NUMERIC(5,1)", string("2"), "2.0"),
    ("NUMERIC(5,2)", number("1e1"), "10.00"),
    ("NUMERIC(5,1)", number("-0.04"), "0.0"),
    ("NUMERIC", number("1.500"), "1.500"),
    ("NUMERIC", string("NaN"), "NaN"),
    ("NUMERIC(3,-2)", number("1250"), "1300"),
    ("BOOL", string("yes"), 1),
    ("BOOL", string("f"), 0),
    ("TEXT", string("x"), "x"),
    ("TEXT", number("007"), "7"),
    ("VARCHAR(3)", string("abc"), "abc"),
    ("CHAR(4)", string("ab"), "ab  "),
    ("BYTEA", string(r"\x00fF"), b"\x00\xff"),
    ("BYTEA", string(r"a\000b\\"), b"a\0b\\"),
    ("BYTEA", string("ä"), "ä".encode()),
    ("BYTEA", Literal(TokenKind.BYTES, "00ff"), b"\x00\xff"),
    ("UUID", string("{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("JSON", string('{"a":  1}'), '{"a":  1}'),
    ("JSONB", string("[1,2]"), "[1,2]"),
    ("DATE", string("2024-1-2"), "2024-01-02"),
    ("DATE", string("0044-03-15 BC"), "0044-03-15 BC"),
    ("DATE", string("infinity"), "infinity"),
    ("TIMESTAMP", string("2024-01-02T03:04:05.5"), "2024-01-02 03:04:05.500000"),
    ("TIMESTAMP", string("2024-01-02 03:04:05+02"), "2024-01-02 03:04:05"),
    ("TIMESTAMP", string("2024-01-02"), "2024-01-02 00:00:00"),
    ("TIMESTAMPTZ", string("2024-01-02 03:04:05+02:30"), "2024-01-02 00:34:05+00"),
    ("TIMESTAMPTZ", string("2024-01-02 03:04:05Z"), "2024-01-02 03:04:05+00"),
    ("TIMESTAMPTZ", string("2024-01-02 03:04:05"), "2024-01-02 03:04:05+00"),
    ("TIMESTAMPTZ", string("2024-02-28 24:00:00"), "2024-02-29 00:00:00+00"),
    ("TIME", string("3:04"), "03:04:00"),
    ("TIMETZ", string("03:04:05+05:30"), "03:04:05+05:30"),
    ("INTERVAL", string("1 year 2 mons 3 days 04:05:06.7"), "P14M3DT14706.700000S"),
    ("INTERVAL", string("-90 minutes"), "P0M0DT-5400.000000S"),
    ("VECTOR(3)", string("[1,2.5,0.1]"), "[1.0, 2.5, 0.10000000149011612]"),
    ("VECTOR(2) USING HALF", string("[1,0.1]"), "[1.0, 0.0999755859375]"),
    ("TEXT[]", string('{a,NULL,"b ""c\\" d"}'), None),
    ("TEXT[]", string('{a,NULL,"b c"}'), '["a", null, "b c"]'),
    ("TEXT[]", string("{}"), "[]"),
    ("INT[]", string("{1, 2}"), "[1, 2]"),
    ("BOOL[]", string("{t,f}"), "[true, false]"),
    ("BYTEA[]", string(r'{"\\x00ff"}'), '["00ff"]'),
    ("NUMERIC[]", string("{1.50}"), '["1.50"]'),
    ("INT[][]", string("{{1,2},{3,NULL}}"), "[[1, 2], [3, null]]"),
    ("MONEY", string("12.3"), "12.30"),
    ("YEAR", number("1999"), "1999"),
    ("INET", string("10.0.0.1"), "10.0.0.1/32"),
    ("INET", string("10.0.0.1/8"), "10.0.0.1/8"),
    ("CIDR", string("10.0.0.0/8"), "10.0.0.0/8"),
    ("MACADDR", string("08-00-2B-01-02-03"), "08:00:2b:01:02:03"),
    ("BIT(3)", string("101"), "101"),
    ("BIT VARYING(4)", string("10"), "10"),
    ("OID", number("42"), 42),
]


@pytest.mark.parametrize(("name", "literal", "value"), STORED, ids=lambda one: str(one)[:40])
def test_what_is_stored(name: str, literal: Literal, value: object) -> None:
    if value is None:
        with pytest.raises(StatementStopped):
            stored(literal, kind(name))
        return
    found = stored(literal, kind(name))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "literal"),
    [
        ("INT", number("2.5")),
        ("INT", string("2.0")),
        ("INT", number("2147483648")),
        ("SMALLINT", number("32768")),
        ("INT", string("five")),
        ("FLOAT", string("x")),
        ("FLOAT", number("1e999")),
        ("NUMERIC(3,1)", number("100")),
        ("NUMERIC", string("1_000")),
        ("BOOL", number("2")),
        ("BOOL", string("maybe")),
        ("TEXT", number("1.50")),
        ("TEXT", number("1e3")),
        ("VARCHAR(2)", string("abc")),
        ("CHAR(2)", string("abc")),
        ("BYTEA", string(r"\x0")),
        ("BYTEA", string(r"\q")),
        ("BYTEA", number("1")),
        ("UUID", string("a0ee")),
        ("JSON", number("1")),
        ("DATE", string("now")),
        ("DATE", string("today")),
        ("DATE", string("Jan 5 2024")),
        ("DATE", string("2024-02-30")),
        ("DATE", string("01/02/2024")),
        ("TIMESTAMPTZ", string("2024-01-02 03:04:05 Europe/Berlin")),
        ("TIMESTAMPTZ", string("2024-01-02 25:00:00")),
        ("TIMETZ", string("03:04:05")),
        ("INTERVAL", string("1.5 days")),
        ("INTERVAL", string("P1D")),
        ("VECTOR(2)", string("[1]")),
        ("VECTOR(2) USING SQ8", string("[1,2]")),
        ("INT[]", string("{1,{2}}")),
        ("INT[]", string("1,2")),
        ("INT[]", string("[0:1]={1,2}")),
        ("MONEY", string("$1,000.00")),
        ("MONEY", string("1.234")),
        ("INET", string("10.1")),
        ("CIDR", string("10.0.0.1/8")),
        ("BIT(3)", string("10")),
        ("HSTORE", string("a=>1")),
        ("TSVECTOR", string("a b")),
        ("INT4RANGE", string("[1,2]")),
        ("POINT", string("(1,2)")),
        ("TEXT", string("a\0b")),
        ("TEXT", Literal(TokenKind.BYTES, "00")),
    ],
    ids=lambda one: str(one)[:40],
)
def test_what_cannot_be_told_is_a_stop(name: str, literal: Literal) -> None:
    with pytest.raises(StatementStopped, match=r"not known here|not translated|fit into|character 0"):
        stored(literal, kind(name))


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20), st.integers(0, 6)
)
def test_numeric_rounds_away_from_zero_at_the_half(value: Decimal, scale: int) -> None:
    found = stored(number(format(value, "f")), kind(f"NUMERIC(60,{scale})"))
    numerator, denominator = value.as_integer_ratio()
    # Twice the number in units of the last digit, and one: cut in half, that is rounded away from zero.
    exact = (abs(numerator) * 10**scale * 2 + denominator) // (2 * denominator)
    assert abs(Decimal(str(found))) == Decimal(exact).scaleb(-scale)
    digits = str(found).partition(".")[2]
    assert len(digits) == scale


def test_types_that_cannot_be_told_are_refused() -> None:
    for name in ("TIMESTAMP(3)", "FLOAT(24)", "VECTOR", "INT(5)", "NUMERIC(2000)", "VECTOR(3)[]", "INT[][][]"):
        with pytest.raises(StatementStopped):
            kind(name)
    with pytest.raises(StatementStopped, match="REAL"):
        type_of(ExpressionReader(lex("real")).type_name(), file_version=59)


def test_a_table_of_sqlite_is_read_by_spgs_names() -> None:
    assert declared_type("NUMERIC(5,1)") == SpgType(10, (5, 1))
    assert declared_type("timestamp with time zone") == SpgType(17)
    assert declared_type("BIGSERIAL") == SpgType(2)
    assert declared_type("") is None
    assert declared_type("BLOB OF MINE") is None


LONG = "9" * 5000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("INT", LONG),
        ("BIGINT", "1e99999"),
        ("NUMERIC", LONG),
        ("NUMERIC", "0." + LONG),
        ("NUMERIC", "1." + "0" * 5000),
        ("NUMERIC", "1e99999"),
        ("NUMERIC", "1e-99999"),
        ("NUMERIC", f"1e{LONG}"),
        ("NUMERIC(5,1)", "1e3000"),
        ("NUMERIC(5,1)", "9" * 1999),
        ("MONEY", "9" * 1999),
        ("MONEY", LONG),
        ("INT[]", f"{{{LONG}}}"),
        ("NUMERIC[]", f"{{1e-{LONG}}}"),
        ("INTERVAL", f"{LONG} days"),
    ],
)
def test_a_number_with_more_digits_than_are_counted_is_a_stop(name: str, text: str) -> None:
    """It is neither rounded nor an error that nobody expects."""
    literals = [string(text)] if name[-1] == "]" or name == "INTERVAL" else [number(text), string(text)]
    for literal in literals:
        with pytest.raises(StatementStopped):
            stored(literal, kind(name))


@pytest.mark.parametrize(("text", "said"), [("-0", "0"), ("-007", "-7"), (LONG, LONG), ("0" * 5000, "0")])
def test_a_whole_number_as_a_text(text: str, said: str) -> None:
    assert stored(number(text), kind("TEXT")) == said

"""What SQLite is taught: decimal numbers as Python's decimal counts them, LIKE as its own, the order of dates."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Context, Decimal

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spgsql.typed.functions import NUMERIC_ORDER, TIME_ORDER, CannotCompute, register

NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
LETTERS = st.text("ab%_\\", max_size=8)
EXACT = Context(prec=500)


@pytest.fixture(scope="module")
def taught() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    register(connection)
    connection.execute("PRAGMA case_sensitive_like = ON")
    return connection


def ask(connection: apsw.Connection, expression: str, *values: object) -> object:
    return connection.execute(f"SELECT {expression}", values).fetchone()[0]  # type: ignore[arg-type]


@settings(max_examples=40)
@given(one=NUMBERS, two=NUMBERS)
def test_arithmetic_is_exact(taught: apsw.Connection, one: Decimal, two: Decimal) -> None:
    for name, found in (("add", EXACT.add(one, two)), ("multiply", EXACT.multiply(one, two))):
        assert ask(taught, f"spgrepl_{name}(?, ?)", str(one), str(two)) == format(found, "f")
    assert ask(taught, "spgrepl_subtract(?, NULL)", str(one)) is None


@settings(max_examples=40)
@given(one=NUMBERS, two=NUMBERS)
def test_numbers_are_ordered_by_their_values(taught: apsw.Connection, one: Decimal, two: Decimal) -> None:
    order = f"SELECT ?1 < ?2 COLLATE {NUMERIC_ORDER}, ?1 = ?2 COLLATE {NUMERIC_ORDER}"
    assert taught.execute(order, (str(one), str(two))).fetchone() == (one < two, one == two)
    assert ask(taught, f"? < 'NaN' COLLATE {NUMERIC_ORDER}", str(one)) == 1
    assert ask(taught, f"'-Infinity' < ? COLLATE {NUMERIC_ORDER}", str(one)) == 1


def test_digits_beyond_what_is_counted_are_refused(taught: apsw.Connection) -> None:
    for expression in ("spgrepl_add(?, '0.1')", "spgrepl_multiply(?, ?1)"):
        with pytest.raises(CannotCompute, match="with that many digits"):
            ask(taught, expression, "9" * 2000)
    with pytest.raises(CannotCompute, match="NaN or Infinity"):
        ask(taught, "spgrepl_add('NaN', '1')")
    with pytest.raises(CannotCompute, match="is not a decimal number"):
        ask(taught, "spgrepl_add('x', '1')")


@settings(max_examples=40)
@given(value=LETTERS, pattern=LETTERS)
def test_like_is_sqlites(taught: apsw.Connection, value: str, pattern: str) -> None:
    try:
        found = ask(taught, r"spgrepl_like(?, ?, '\', 0)", value, pattern)
    except CannotCompute:
        bare = pattern.rstrip("\\")
        assert (len(pattern) - len(bare)) % 2
    else:
        assert found == ask(taught, r"? LIKE ? ESCAPE '\'", value, pattern)


def test_a_pattern_takes_no_longer_than_the_text_is(taught: apsw.Connection) -> None:
    begin = time.monotonic()
    assert ask(taught, "spgrepl_like(?, ?, '', 0)", "a" * 2000, "%a" * 12 + "b") == 0
    assert ask(taught, "spgrepl_like(?, ?, '', 0)", "a" * 2000 + "b", "%a_" * 12 + "%b") == 1
    assert time.monotonic() - begin < 2


def test_letters_beyond_ascii_have_no_case_here(taught: apsw.Connection) -> None:
    assert ask(taught, "spgrepl_like('AB', 'a_', '', 1)") == 1
    for expression in ("spgrepl_lower('Ä')", "spgrepl_upper('ß')", "spgrepl_like('ä', 'Ä', '', 1)"):
        with pytest.raises(CannotCompute, match="beyond ASCII"):
            ask(taught, expression)


@settings(max_examples=40)
@given(moments=st.lists(st.datetimes(), min_size=2, max_size=6))
def test_moments_are_ordered_by_time(taught: apsw.Connection, moments: list[dt.datetime]) -> None:
    late = ["10000-01-01 00:00:00", "infinity"]
    early = ["-infinity", "10001-01-01 00:00:00 BC", "0044-03-15 00:00:00 BC", "0044-03-16 00:00:00 BC"]
    wanted = [*early, *(one.isoformat(" ") for one in sorted(moments)), *late]
    values = ", ".join("(?)" for _ in wanted)
    found = taught.execute(
        f"SELECT column1 FROM (VALUES {values}) ORDER BY 1 COLLATE {TIME_ORDER}", wanted[::-1]
    ).fetchall()
    assert [one for (one,) in found] == wanted

"""The time that stands for now(): cut to a day only where the master cuts it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.language import types
from spgrepl.spgsql.language.lexing import Literal, TokenKind
from spgrepl.spgsql.language.stops import NotDeterministic, StatementStopped
from spgrepl.spgsql.typed.moments import MOMENTS, with_zone
from tests.spgsql.copy import NOW_TEXT, Copy
from tests.spgsql.typed.kit import Asked

DAY = NOW_TEXT[:10]


@pytest.fixture
def asked(loose: Copy) -> Asked:
    loose.run("CREATE TABLE t (id INT PRIMARY KEY, d DATE, ts TIMESTAMP, tz TIMESTAMPTZ)")
    loose.run(f"INSERT INTO t VALUES (1, '{DAY}', '{DAY} 05:00:00', '{DAY} 05:00:00+00')")
    return Asked(loose, approximate=True)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("now()", types.TIMESTAMPTZ, f"{NOW_TEXT}+00"),
        ("now()", types.DATE, DAY),
        ("localtimestamp", types.TIMESTAMP, NOW_TEXT),
        ("current_date", types.DATE, DAY),
        ("current_date", types.TIMESTAMP, f"{DAY} 00:00:00"),
        ("current_date - interval '1 hour'", types.TIMESTAMPTZ, "2023-11-13 23:00:00+00"),
        ("now() + interval '1 day 00:00:01.5'", types.TIMESTAMP, "2023-11-15 22:13:21.500000"),
        ("current_time", types.TIMETZ, "22:13:20+00"),
        ("localtime", types.TIME, "22:13:20"),
    ],
)
def test_the_value_of_a_moment(asked: Asked, text: str, kind: SpgType, said: str) -> None:
    assert asked.values(text, kind) == [said]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ts < current_date", False),
        ("tz >= current_date", True),
        ("ts < current_date - interval '1 day'", False),
        ("ts > now() - interval '1 day'", True),
        ("d = current_date", True),
        ("d > current_date - interval '1 day'", True),
        ("now() > tz", True),
    ],
)
def test_what_is_compared_with_a_day_is_compared_with_its_first_moment(
    asked: Asked, text: str, said: bool
) -> None:
    assert asked.ask(text, lambda compiler, node: compiler.condition(node, asked.scope)) == [said]


@pytest.mark.parametrize("text", ["d < now()", "now() <> d", "d < current_date - interval '1 hour'"])
def test_a_day_is_not_compared_with_a_moment_that_was_cut(asked: Asked, text: str) -> None:
    with pytest.raises(StatementStopped, match=r"how .* are compared"):
        asked.ask(text, lambda compiler, node: compiler.condition(node, asked.scope))


@pytest.mark.parametrize("name", sorted(MOMENTS))
def test_a_moment_is_the_replicas_own(copy: Copy, name: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY)")
    with pytest.raises(NotDeterministic):
        Asked(copy).values(f"{name}()", MOMENTS[name])


def test_a_month_has_no_length(asked: Asked) -> None:
    with pytest.raises(StatementStopped, match="the interval '1 month' is not translated"):
        asked.values("now() - interval '1 month'", types.TIMESTAMPTZ)


@settings(max_examples=30)
@given(st.datetimes().map(dt.datetime.isoformat), st.sampled_from(["", "Z", "+02", "-03:30"]))
def test_where_sessions_differ_the_zone_has_to_be_written(text: str, zone: str) -> None:
    literal = Literal(TokenKind.STRING, text + zone)
    if zone:
        assert with_zone(lambda one: one.text, literal) == text + zone
    else:
        with pytest.raises(StatementStopped, match="write the zone"):
            with_zone(lambda one: one.text, literal)

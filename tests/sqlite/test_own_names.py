"""What no statement of a log may do to a copy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.sqlite.own_names import ForbiddenStatement, needs_a_look, refuse_forbidden


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA synchronous = OFF",
        "/* so */ pragma user_version = 1",
        "DELETE FROM spgrepl_replay",
        'INSERT INTO "SPGREPL_replay" VALUES (1)',
        "UPDATE 'spgrepl_replay' SET a = 1",
        "INSERT INTO main.'spgrepl_x' VALUES (1)",
        "CREATE TABLE [spgrepl_mine] (a)",
        "SELECT * FROM a JOIN `spgrepl_replay`",
    ],
)
def test_what_may_not_run(sql: str) -> None:
    assert needs_a_look(sql.encode())
    with pytest.raises(ForbiddenStatement, match=r"belongs to spgrepl|PRAGMA would change"):
        refuse_forbidden(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES ('spgrepl_replay')",
        "INSERT INTO t VALUES ('pragma')",
        "INSERT INTO pragmatic VALUES (1)",
        "INSERT INTO my_spgrepl_ VALUES (1)",
        "SELECT 1 -- spgrepl_replay",
    ],
)
def test_what_only_mentions_them(sql: str) -> None:
    refuse_forbidden(sql)


@given(st.text(max_size=40))
def test_what_needs_no_look_is_let_pass(sql: str) -> None:
    if not needs_a_look(sql.encode("utf-8", "surrogatepass")):
        refuse_forbidden(sql)

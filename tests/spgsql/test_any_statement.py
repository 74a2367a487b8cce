"""Whatever stands in a log: it is run or refused by name, and refused statements change nothing."""

from __future__ import annotations

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.spgsql.language.lexing import Dialect
from spgrepl.spgsql.language.stops import StatementStopped
from tests.spgsql.copy import Copy

WORDS = st.sampled_from(
    """
    INSERT INTO t ( id , x ) VALUES ( 1 , 'a' ) UPDATE t SET x = 'b' WHERE id = 1 AND OR NOT NULL TRUE IS IN
    BETWEEN LIKE CASE WHEN THEN ELSE END DELETE FROM USING SELECT * ORDER BY LIMIT 5 GROUP HAVING JOIN ON LEFT
    AS t u excluded ON CONFLICT DO NOTHING CREATE TABLE INT TEXT NUMERIC(4,1) PRIMARY KEY UNIQUE REFERENCES
    CASCADE ALTER ADD COLUMN DROP RENAME TO DEFAULT now() ARRAY [ ] :: bytea E'\\x00' $$z$$ - + / || ; -- /* */
    2.5 1e9 "q" TRUNCATE WITH SET timezone = 'UTC' TYPE ENUM DOMAIN INDEX CAST( nextval('s') ANY EXISTS
    COALESCE( count(*) public . t
    """.split()
)
TEXTS = st.one_of(st.lists(WORDS, max_size=25).map(" ".join), st.text(max_size=40))


@settings(max_examples=100, deadline=None)
@given(TEXTS, st.sampled_from(Dialect))
def test_any_text_is_run_or_refused(text: str, dialect: Dialect) -> None:
    copy = Copy()
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, x TEXT)", "INSERT INTO t VALUES (1, 'a')")
    before = copy.rows("SELECT * FROM t")
    copy.connection.execute("BEGIN")
    try:
        copy.replay.execute(text, 0, dialect)
    except (StatementStopped, apsw.Error, ValueError):
        copy.connection.execute("ROLLBACK")
        copy.replay.undone()
        assert copy.rows("SELECT * FROM t") == before
    else:
        copy.connection.execute("COMMIT")
    copy.counts()
    copy.run("CREATE TABLE after_all (id INT)")


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET x = " + "(" * 5000 + "1" + ")" * 5000,
        "UPDATE t SET x = " + "- " * 5000 + "1",
        "UPDATE t SET x = ARRAY" + "[" * 5000 + "]" * 5000,
        "INSERT INTO t " + "(" * 5000 + "SELECT 1" + ")" * 5000,
        "UPDATE t SET x = " + "NOT " * 5000 + "TRUE",
        "UPDATE t SET x = " + " OR ".join(["id = 1"] * 5000),
        "DELETE FROM t WHERE id IN (" + ", ".join(["1"] * 100_000) + ")",
    ],
    ids=lambda text: text[:24],
)
def test_what_is_nested_deep_is_refused(copy: Copy, text: str) -> None:
    copy.run("CREATE TABLE t (id INT PRIMARY KEY, x TEXT)")
    with pytest.raises((StatementStopped, apsw.Error)):
        copy.run(text)

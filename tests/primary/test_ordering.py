"""LIMIT and the order of what it takes from."""

from __future__ import annotations

import pytest

from spgrepl.errors import NotReplayable
from spgrepl.primary.ordering import refuse_unordered_limit
from spgrepl.sqltext import significant_tokens


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT a FROM u LIMIT 5",
        "CREATE TABLE v AS SELECT a FROM u LIMIT 5",
        "UPDATE t SET a = (SELECT a FROM u LIMIT 1)",
        "DELETE FROM t WHERE a IN (SELECT a FROM (SELECT a FROM u ORDER BY a) LIMIT 3)",
        "WITH x AS (SELECT a FROM u LIMIT 1) INSERT INTO t SELECT a FROM x ORDER BY a",
        "DELETE FROM t LIMIT 1",
    ],
)
def test_limit_without_order_is_refused(sql: str) -> None:
    """Which rows it takes is not said."""
    with pytest.raises(NotReplayable, match="ORDER BY"):
        refuse_unordered_limit(sql, significant_tokens(sql))


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t SELECT a FROM u ORDER BY a LIMIT 5",
        "DELETE FROM t WHERE EXISTS (SELECT 1 FROM u LIMIT 1)",
        "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 9) INSERT INTO t SELECT x FROM c",
        "WITH c AS NOT MATERIALIZED (SELECT 1 UNION SELECT 2 FROM C LIMIT 9) DELETE FROM t WHERE a IN c",
        "INSERT INTO t (\"limit\") VALUES ('no LIMIT 1')",
    ],
)
def test_limit_that_means_the_same_everywhere(sql: str) -> None:
    """With ORDER BY, under EXISTS, and in a recursion it is allowed."""
    refuse_unordered_limit(sql, significant_tokens(sql))

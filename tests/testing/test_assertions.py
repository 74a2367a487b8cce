"""What tests of replication assert, and what they are told where it is not so."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.testing import Cluster
from spgrepl.testing.assertions import assert_applied, assert_equal_databases
from tests import sql


def database(path: Path, *rows: int) -> Path:
    with sql.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE u (a)")
        for row in rows:
            connection.execute("INSERT INTO t VALUES (?)", (row,))
    return path


def test_a_difference_is_named_by_table_and_row(tmp_path: Path) -> None:
    first, second = database(tmp_path / "a.db", 1, 2), database(tmp_path / "b.db", 1, 3)
    with pytest.raises(AssertionError, match=r"(?s)differ:.*\bt\b"):
        assert_equal_databases(first, second)
    assert_equal_databases(first, second, ["u"])
    assert_equal_databases(first, first)


def test_what_is_not_applied_in_time_is_told_with_the_status(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        node = cluster.primary()
        position = node.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        follower = cluster.follower()
        assert_applied(cluster.reactor, follower, position)
        with pytest.raises(AssertionError, match=r"was not applied: .*'role': 'follower'"):
            assert_applied(cluster.reactor, follower, position + 1000, seconds=2)

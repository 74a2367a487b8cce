"""An engine with tables that a log has made, for statements that are read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.engines.postgresql.engine import PostgresqlEngine
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import with_tables

TABLES = (
    "CREATE TABLE t (id INT PRIMARY KEY, x TEXT, n INT, f DOUBLE PRECISION)",
    "CREATE TABLE several (k INT, x TEXT, n INT, f DOUBLE PRECISION)",
    "CREATE TABLE one (k INT PRIMARY KEY, x TEXT UNIQUE NOT NULL, n INT)",
    "CREATE TABLE two (k INT PRIMARY KEY, x TEXT UNIQUE)",
    "CREATE VIEW v AS SELECT id, x, n FROM t",
    "INSERT INTO t VALUES (1, 'a', 1, 0.1), (2, 'b', 2, 0.2)",
    "INSERT INTO several VALUES (1, 'p', 5, 0.1), (1, 'q', 6, 0.2), (2, 'r', 7, 0.3)",
    "INSERT INTO one VALUES (1, 'a', 50), (2, 'b', 51)",
)


@pytest.fixture
def engine(database: Database, tmp_path: Path) -> Iterator[PostgresqlEngine]:
    with with_tables(database, tmp_path / "received", TABLES) as made:
        yield made

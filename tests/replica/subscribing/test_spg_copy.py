"""The initial copy of a subscription, from the snapshot of an SPG server."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import attrs
import pytest

from spgrepl.engines.targets.options import TargetOptions
from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.engines.targets.stored_shapes import ShapeGuard as StoredShapes
from spgrepl.errors import CopyRefused, TableMismatch, UsageError
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.sqlite.session import plain_connection
from tests import sql as sqlite3
from tests.replica.subscribing.spg_content import content


class Copied:
    """A target, and what came into it."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "target.db"
        self.target = SqliteTarget(self.database, "s")
        self._snapshot = folder / "snapshot"

    def put(self, data: bytes) -> Path:
        self._snapshot.write_bytes(data)
        return self._snapshot

    def copy(self, data: bytes, *publications: str) -> SubscriptionState:
        self.put(data)
        self.target.check_snapshot_head(data[:16])
        return self.target.copy_snapshot(self._snapshot, publications, 900)

    def rows(self, sql: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def copied(tmp_path: Path) -> Any:
    found = Copied(tmp_path)
    yield found
    found.target.close()


def test_published_tables_with_their_rows_and_indexes(copied: Copied) -> None:
    assert copied.copy(content(), "news").position == 900
    assert copied.rows("SELECT * FROM articles") == [(1, "one"), (3, None)]
    assert copied.rows("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL") == [("by_text",)]
    assert copied.rows("SELECT name FROM sqlite_master WHERE name = 'other'") == []
    assert copied.rows("SELECT table_name, column_name, spg_type FROM spgrepl_spg_columns ORDER BY position") == [
        ("articles", "id", "INT"),
        ("articles", "text", "TEXT"),
    ]


def test_a_table_that_is_there_already_must_be_alike(copied: Copied) -> None:
    with contextlib.closing(sqlite3.connect(copied.database)) as connection:
        connection.execute("CREATE TABLE other (id TEXT)")
    with pytest.raises(TableMismatch, match="column 1"):
        copied.copy(content(), "every")


def test_tables_with_rows_in_segments_are_refused_by_name(copied: Copied) -> None:
    with pytest.raises(CopyRefused, match=r"the master did not send: 1 of other\. .*--no-copy-data"):
        copied.copy(content(cold=True), "every")
    assert not copied.database.exists()
    told = SqliteTarget(copied.database, "told", TargetOptions(without_cold_rows=True))
    told.copy_snapshot(copied.put(content(cold=True)), ("every",), 900)
    left_out = {"other": {"rows": 1, "first_key": 9}}
    assert told.statistics()["cold_rows_left_out"] == left_out
    told.close()
    again, another = SqliteTarget(copied.database, "told"), SqliteTarget(copied.database, "another")
    for target in (again, another):
        target.open()
        target.close()
    assert again.statistics()["cold_rows_left_out"] == left_out
    assert "cold_rows_left_out" not in another.statistics()
    assert copied.rows("SELECT id FROM other") == [(1,)]
    copied.database.unlink()
    copied.copy(content(cold=True), "news")
    assert copied.rows("SELECT count(*) FROM articles") == [(2,)]


# -- over sockets ---------------------------------------------------------------------------------------------


def test_a_table_that_another_subscription_filled_too_is_not_replaced(copied: Copied) -> None:
    state = copied.copy(content(), "news")
    other = SqliteTarget(copied.database, "other")
    shapes = StoredShapes(copied.database, "other")
    with contextlib.closing(plain_connection(copied.database)) as connection:
        shapes.note(connection, ["articles"])
    other.close()
    copied.target.begin()
    copied.target.commit(attrs.evolve(state, diverged="a different history"))
    with pytest.raises(TableMismatch, match="articles"):
        copied.copy(content(), "news")
    assert copied.rows("SELECT * FROM articles") == [(1, "one"), (3, None)]


def test_a_fresh_copy_needs_a_copy() -> None:
    with pytest.raises(UsageError, match="--on-divergence resnapshot"):
        Subscription("s", ("p",), copy_data=False, on_divergence=OnDivergence.RESNAPSHOT)

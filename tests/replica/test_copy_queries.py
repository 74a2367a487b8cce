"""Queries of a copy, each as of a position that whoever asks may name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from twisted.internet.defer import Deferred, succeed

from spgrepl.base.histories import Histories
from spgrepl.errors import EngineFailed, Overloaded, ServiceStopped, UsageError
from spgrepl.primary.reading.row_stream import RowStream
from spgrepl.replica import copy_queries
from spgrepl.replica.copy_queries import CopyQueries
from spgrepl.testing.stepping import StepReactor
from tests import sql

SELECT = "SELECT a FROM t"


class Rig:
    """A database whose position is what a test says."""

    def __init__(self, folder: Path) -> None:
        self.reactor = StepReactor()
        self.database = folder / "copy.db"
        with sql.connect(self.database) as connection:
            connection.execute("CREATE TABLE t (a)")
            connection.execute("INSERT INTO t VALUES (1), (2)")
        self.stored: int | None = 100
        self.waits: list[tuple[int, float | None]] = []
        self.waiting: Callable[[], Deferred[Any]] = lambda: succeed(None)
        self.queries = CopyQueries(self.reactor, self.database, "the copy", self.position, self.wait)
        self.queries.start()

    def position(self, _connection: apsw.Connection) -> tuple[int, Histories] | None:
        return None if self.stored is None else (self.stored, Histories())

    def wait(self, position: int, timeout: float | None) -> Deferred[Any]:
        self.waits.append((position, timeout))
        return self.waiting()

    def rows(self, stream: RowStream) -> list[Any]:
        async def read() -> list[Any]:
            return [row async for row in stream]

        return self.reactor.wait(Deferred.fromCoroutine(read()))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    stopped = made.queries.stop()
    if stopped is not None:
        made.reactor.wait(stopped)


def test_what_is_there_is_read_at_once(rig: Rig) -> None:
    assert rig.rows(rig.queries.query(SELECT)) == [(1,), (2,)]
    assert rig.waits == []


def test_a_position_is_waited_for(rig: Rig) -> None:
    ready = Deferred[None]()
    rig.waiting = lambda: ready
    stream = rig.queries.query(SELECT, at_least=100, timeout=5)
    rig.reactor.settle()
    ready.callback(None)
    assert rig.rows(stream) == [(1,), (2,)]
    assert rig.waits == [(100, 5)]


@pytest.mark.parametrize("stored", [99, None])
def test_a_copy_that_was_put_back_meanwhile_is_not_read(rig: Rig, stored: int | None) -> None:
    rig.stored = stored
    with pytest.raises(EngineFailed, match="does not hold position 100: ask again"):
        rig.rows(rig.queries.query(SELECT, at_least=100))


def test_a_copy_without_a_database_says_so(rig: Rig) -> None:
    nowhere = CopyQueries(rig.reactor, None, "the archive", rig.position, rig.wait)
    nowhere.start()
    with pytest.raises(UsageError, match="the archive keeps no rows in a SQLite database"):
        nowhere.query(SELECT)
    assert nowhere.stop() is None


def test_before_and_after(rig: Rig) -> None:
    stopped = rig.queries.stop()
    assert stopped is not None
    rig.reactor.wait(stopped)
    with pytest.raises(ServiceStopped, match="the copy is not open"):
        rig.queries.query(SELECT)
    rig.queries.start()
    assert rig.rows(rig.queries.query(SELECT)) == [(1,), (2,)]


def test_there_is_a_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_queries, "MOST_QUERIES", 1)
    first = rig.queries.query(SELECT)
    with pytest.raises(Overloaded, match="1 query is open already"):
        rig.queries.query(SELECT)
    assert len(rig.rows(first)) == 2
    assert len(rig.rows(rig.queries.query(SELECT))) == 2

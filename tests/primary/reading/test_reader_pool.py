"""Queries beside the writer: how many run, how one is given up, and what is left at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError, Deferred

from spgrepl.errors import ServiceStopped, StatementFailed
from spgrepl.primary.reading.reader_pool import ReaderPool
from spgrepl.testing.stepping import StepReactor
from tests.primary.copying import opened

ENDLESS = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def reactor() -> StepReactor:
    return StepReactor()


@pytest.fixture
def pool(reactor: StepReactor, tmp_path: Path) -> Iterator[ReaderPool]:
    with opened(tmp_path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)") as writer:
        made = ReaderPool(reactor, writer.paths.database, 2)
        made.start()
        yield made
        reactor.wait(made.stop())


def test_queries_share_the_connections(reactor: StepReactor, pool: ReaderPool) -> None:
    answers = [pool.query("SELECT a FROM t WHERE a > ?", (number,)) for number in range(3)]
    assert len(pool) == 3
    assert [reactor.wait(one).rows for one in answers] == [[(1,), (2,)], [(2,)], []]
    assert len(pool) == 0
    assert len(pool._free) == 1


def test_connections_are_not_kept_where_they_are_not_wanted(reactor: StepReactor, tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        pool = ReaderPool(reactor, writer.paths.database, 2, keep=False)
        pool.start()
        assert reactor.wait(pool.query("SELECT 1", ())).rows == [(1,)]
        assert pool._free == []
        reactor.wait(pool.stop())


def test_a_query_that_was_given_up_does_not_run(reactor: StepReactor, pool: ReaderPool) -> None:
    answer = pool.query(ENDLESS, ())
    answer.cancel()
    with pytest.raises(CancelledError):
        reactor.wait(answer)
    reactor.settle()
    assert (len(pool), pool._free) == (0, [])


def test_an_interruption_ends_what_runs_and_what_waits(reactor: StepReactor, pool: ReaderPool) -> None:
    answers = [pool.query(ENDLESS, ()) for _ in range(2)]
    pool.interrupt()
    for one in answers:
        with pytest.raises(StatementFailed, match="interrupted"):
            reactor.wait(one)


def test_a_failure_gives_its_connection_back(reactor: StepReactor, pool: ReaderPool) -> None:
    with pytest.raises(StatementFailed, match="no such table"):
        reactor.wait(pool.query("SELECT * FROM nowhere", ()))
    assert reactor.wait(pool.query("SELECT 1", ())).rows == [(1,)]
    assert len(pool._free) == 1


def test_streams_end_with_the_pool(reactor: StepReactor, tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        pool = ReaderPool(reactor, writer.paths.database, 2)
        pool.start()
        numbers = ENDLESS.replace("count(*)", "i")
        stream = pool.stream(numbers, (), 60.0)
        assert reactor.wait(Deferred.fromCoroutine(stream.__anext__())) == (1,)
        assert len(pool) == 1
        reactor.wait(pool.stop())
        assert (len(pool), pool._free) == (0, [])

        async def rest() -> int:
            return len([row async for row in stream])

        with pytest.raises(ServiceStopped):
            reactor.wait(Deferred.fromCoroutine(rest()))

"""Reading one's own writes from copies: queries of followers and subscribers, as of a token."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed

from spgrepl.base.histories import Histories
from spgrepl.errors import DifferentHistory, EngineFailed, ServiceStopped, StatementFailed, UsageError, WaitTimeout
from spgrepl.primary import Position
from spgrepl.primary.reading import row_stream
from spgrepl.replica.copy_queries import CopyQueries
from tests.server.chain import ROW, Chain, chain, grown, with_rows

__all__ = ["chain"]

COUNT = "SELECT count(*) FROM t"
MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000) SELECT i FROM n"


async def rows_of(stream: Any) -> list[Any]:
    return [row async for row in stream]


@pytest_twisted.ensureDeferred
async def test_what_was_written_is_seen_at_every_copy(chain: Chain) -> None:
    """Every query sees the write whose token it was given, without any other wait."""
    primary = await with_rows(chain, rows=0)
    await chain.master("head", primary)
    relay = await chain.follower("relay", "head")
    await grown(primary, relay)
    leaf = await chain.follower("leaf", "relay")
    subscriber = await chain.subscriber("some", "head")
    for count in range(3, 20):
        token = Position.parse(str(await primary.execute(ROW)))
        for role in (leaf, subscriber, relay):
            assert await rows_of(role.query(COUNT, at_least=token)) == [(count,)]
    assert await rows_of(leaf.query("SELECT b FROM t WHERE a = ?", (1,))) == [("a row of some length",)]


@pytest_twisted.ensureDeferred
async def test_a_stream_holds_a_few_rows_and_does_not_keep_the_log_from_being_applied(chain: Chain) -> None:
    primary = await with_rows(chain)
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    token = await grown(primary, copy)
    async with copy.query(f"{MANY}, t", at_least=token) as stream:
        assert await stream.__anext__() == (1,)
        assert len(stream._batch) < row_stream.BATCH_ROWS
        token = await primary.execute(ROW)
        assert await rows_of(copy.query(COUNT, at_least=token, timeout=30)) == [(6,)]
        assert await stream.__anext__() is not None
    with pytest.raises(StatementFailed, match="a query only reads"):
        await rows_of(copy.query("DELETE FROM t", at_least=token))
    with pytest.raises(StatementFailed, match="a query only reads"):
        await rows_of(copy.query("COMMIT", at_least=token))


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_seen_is_said(chain: Chain) -> None:
    primary, other = await with_rows(chain), await with_rows(chain, "other")
    await chain.master("head", primary)
    copy = await chain.follower("copy", "head")
    token = await grown(primary, copy)
    with pytest.raises(DifferentHistory):
        await rows_of(copy.query(COUNT, at_least=await other.execute(ROW)))
    later = Position(token + 1, history=token.history)
    with pytest.raises(WaitTimeout, match=f"position {later} was not reached within 0.1 s"):
        await rows_of(copy.query(COUNT, at_least=later, timeout=0.1))
    ended = copy.query(COUNT, at_least=later)
    first: Deferred[Any] = Deferred.fromCoroutine(ended.__anext__())
    await ended.close()
    with pytest.raises(ServiceStopped, match="was ended while it waited"):
        await first
    waiting = [Deferred.fromCoroutine(rows_of(copy.query(COUNT, at_least=later))) for _ in range(3)]
    await chain.stop(copy)
    for one in waiting:
        with pytest.raises(ServiceStopped):
            await one
    with pytest.raises(ServiceStopped, match="is not open"):
        copy.query(COUNT)
    copy = await chain.follower("copy", "head")
    assert await rows_of(copy.query(COUNT, at_least=token, timeout=30)) == [(5,)]


@pytest_twisted.ensureDeferred
async def test_a_query_waits_for_a_copy_that_is_not_there_yet(chain: Chain) -> None:
    primary = await with_rows(chain)
    token = await primary.execute(ROW)
    copy = await chain.follower("copy", "head")
    with pytest.raises(EngineFailed, match="cannot be read"):
        await rows_of(copy.query(COUNT))
    waiting = Deferred.fromCoroutine(rows_of(copy.query(COUNT, at_least=token)))
    await chain.master("head", primary)
    assert await waiting == [(4,)]


@pytest_twisted.ensureDeferred
async def test_engines_without_rows_have_none_to_read(chain: Chain) -> None:
    copy = await chain.follower("copy", "head", engine="counting")
    with pytest.raises(UsageError, match="keeps no rows in a SQLite database"):
        copy.query(COUNT)


@pytest_twisted.ensureDeferred
async def test_a_copy_that_went_back_meanwhile_is_noticed_in_the_querys_own_transaction(tmp_path: Path) -> None:
    from twisted.internet import reactor

    with contextlib.closing(apsw.Connection(str(tmp_path / "copy.db"))) as connection:
        connection.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    stands: list[int] = [41]

    def stored(connection: apsw.Connection) -> tuple[int, Histories]:
        assert connection.in_transaction
        return stands[0], Histories()

    queries = CopyQueries(
        reactor, tmp_path / "copy.db", "the copy", stored, lambda position, _timeout: succeed(position)
    )
    queries.start()
    with pytest.raises(EngineFailed, match="was replaced by one that does not hold position 42: ask again"):
        await rows_of(queries.query(COUNT, at_least=42))
    stands[0] = 42
    assert await rows_of(queries.query(COUNT, at_least=42)) == [(1,)]
    await queries.stop()  # type: ignore[misc]

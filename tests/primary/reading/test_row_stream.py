"""The rows of one query, a few at a time, and never fewer than there are without a word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail

from spgrepl.errors import ServiceStopped, StatementFailed
from spgrepl.primary.reading.reader import DatabaseReader
from spgrepl.primary.reading.row_stream import BATCH_ROWS, BATCH_SIZE, OpenQuery, RowStream
from spgrepl.testing.stepping import StepReactor
from tests.primary.copying import Writer, opened

MANY = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {0}) SELECT i FROM n"


class Streams:
    """Streams on a database, with a connection that each gets and gives back."""

    def __init__(self, writer: Writer, reader: DatabaseReader) -> None:
        self.writer = writer
        self.reactor = StepReactor()
        self.given: list[DatabaseReader] = [reader]

    def query(self, sql: str) -> OpenQuery:
        return OpenQuery(sql, (), self.given.pop, self.given.append)

    def stream(self, sql: str, before: Any = None) -> RowStream:
        pool = self.reactor.new_pool("threads", 1)

        def in_thread(function: Any, *arguments: Any) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()
            pool.callInThreadWithCallback(lambda _, result: done.callback(result), function, *arguments)
            return done

        return RowStream(self.reactor, in_thread, self.query(sql), 60.0, before)

    def next_row(self, stream: RowStream) -> Any:
        return self.reactor.wait(Deferred.fromCoroutine(stream.__anext__()))


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    with opened(tmp_path) as writer, closing(DatabaseReader(writer.paths.database)) as reader:
        yield Streams(writer, reader)


@pytest.mark.parametrize("count", [0, 1, BATCH_ROWS - 1, BATCH_ROWS, BATCH_ROWS + 1])
def test_all_rows_come_in_their_order(streams: Streams, count: int) -> None:
    stream = streams.stream(f"SELECT * FROM ({MANY.format(count)}) LIMIT {count}")

    async def rows() -> list[Any]:
        return [row async for row in stream]

    assert streams.reactor.wait(Deferred.fromCoroutine(rows())) == [(number + 1,) for number in range(count)]
    assert stream.columns == ("i",)
    assert len(streams.given) == 1
    with pytest.raises(StopAsyncIteration):
        streams.next_row(stream)


def test_a_batch_is_bounded_by_what_its_rows_take(streams: Streams) -> None:
    query = streams.query(f"SELECT zeroblob({BATCH_SIZE // 2}) FROM ({MANY.format(5)})")
    assert [len(query.read()) for _ in range(4)] == [2, 2, 1, 0]
    query.close()


def test_a_stream_that_was_closed_before_its_end_does_not_look_complete(streams: Streams) -> None:
    """As a primary that stops closes it: rows that were read come, and then an error."""
    stream = streams.stream(MANY.format(BATCH_ROWS + 1))
    assert streams.next_row(stream) == (1,)
    streams.reactor.wait(stream.close())
    assert len(streams.given) == 1
    for number in range(1, BATCH_ROWS):
        assert streams.next_row(stream) == (number + 1,)
    with pytest.raises(ServiceStopped, match="ended before all its rows were read"):
        streams.next_row(stream)


def test_rows_that_nobody_takes_end_the_query(streams: Streams) -> None:
    stream = streams.stream(MANY.format(5))
    assert streams.next_row(stream) == (1,)
    streams.reactor.pass_time(59)
    assert not stream.closed.called
    streams.reactor.pass_time(1)
    assert stream.closed.called
    with pytest.raises(StatementFailed, match=r"no row was taken for 60 s"):
        streams.next_row(stream)


def test_closing_while_rows_are_read_leaves_no_timer(streams: Streams) -> None:
    stream = streams.stream(MANY.format(5))
    row = Deferred.fromCoroutine(stream.__anext__())
    closed = stream.close()
    assert streams.reactor.wait(closed) is None
    assert streams.reactor.wait(row.addErrback(lambda _: None)) in ((1,), None)
    assert streams.reactor.getDelayedCalls() == []
    assert len(streams.given) == 1


def test_what_it_waits_for_comes_first_and_its_failure_ends_it(streams: Streams) -> None:
    seen: Deferred[None] = Deferred()
    stream = streams.stream("SELECT count(*) FROM sqlite_master WHERE name = 't'", lambda: seen)
    row = Deferred.fromCoroutine(stream.__anext__())
    streams.reactor.settle()
    streams.writer.execute("CREATE TABLE t (a)")
    seen.callback(None)
    assert streams.reactor.wait(row) == (1,)
    streams.reactor.wait(stream.close())
    failing = streams.stream("SELECT 1", lambda: fail(KeyError("why")))
    with pytest.raises(KeyError):
        streams.next_row(failing)
    assert failing.closed.called


def test_a_failure_in_the_middle_is_told(streams: Streams) -> None:
    stream = streams.stream(f"SELECT iif(i > 600, abs(-9223372036854775808), i) FROM ({MANY.format(700)})")
    for _ in range(BATCH_ROWS):
        streams.next_row(stream)
    with pytest.raises(StatementFailed, match="integer overflow"):
        streams.next_row(stream)
    assert len(streams.given) == 1

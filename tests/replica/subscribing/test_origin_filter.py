"""Which rows a subscription takes, by where they originated."""

from __future__ import annotations

import pytest

from spgrepl.errors import ReplicationLoop
from spgrepl.log.format.records import encode_statement
from spgrepl.replica.subscribing.origins import Origin, OriginFilter
from spgrepl.replica.subscribing.portions import Portion
from spgrepl.wire.frames import RowsBegin, encode_rows_begin, encode_wal_header
from spgrepl.wire.record_frames import RecordFrameParser

OWN, MASTER, THIRD = 7, 8, 9


def portion(*statements: str, rows_from: int | None = 0) -> Portion:
    """Records from position 100 on; from a position on, they are rows."""
    records = [encode_statement(statement.encode()) for statement in statements]
    said = b"" if rows_from is None else encode_rows_begin(RowsBegin(rows_from, MASTER))
    found = RecordFrameParser(100).feed(said + b"".join(encode_wal_header(len(one)) + one for one in records))
    assert found is not None
    return Portion(found, 0, len(found), found.end)


def came_from(origin: int | None) -> str:
    return "DELETE FROM t WHERE id=1" + ("" if origin is None else f" /* origin {origin:016x} */")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(Origin.ANY, [None, MASTER, THIRD]), (Origin.NONE, [None, MASTER])],
)
def test_rows_are_left_out_by_where_they_originated(wanted: Origin, expected: list[int | None]) -> None:
    sifter = OriginFilter(OWN, wanted)
    sifter.greeted(MASTER)
    found = portion(*map(came_from, (None, MASTER, THIRD, OWN)))
    records = [found.frames.record(index) for index in range(4)]
    sifter.sift([found])
    kept = [sql.decode() for sql in found.frames.sql if sql]
    assert kept == list(map(came_from, expected))
    assert sifter.left_out == 4 - len(expected)
    # Their bytes stay, for the fence.
    assert [found.frames.record(index) for index in range(4)] == records


def test_the_rows_of_a_masters_own_primary_are_the_masters() -> None:
    sifter = OriginFilter(OWN, Origin.NONE)
    sifter.greeted(MASTER)
    sifter.told(THIRD)  # the master is a follower of that one
    found = portion(*map(came_from, (None, MASTER, THIRD)))
    sifter.sift([found])
    assert [sql.decode() for sql in found.frames.sql if sql] == [came_from(None), came_from(THIRD)]


def test_a_master_that_is_this_side_or_its_copy_is_a_loop() -> None:
    sifter = OriginFilter(OWN)
    with pytest.raises(ReplicationLoop, match="is this side's own"):
        sifter.greeted(OWN)
    with pytest.raises(ReplicationLoop, match="a copy of this side's own database"):
        sifter.told(OWN)


def test_a_comment_of_a_client_is_no_origin() -> None:
    """In the log of an SPG server, which holds statements, a comment is whatever somebody wrote."""
    sifter = OriginFilter(OWN, Origin.NONE)
    sifter.greeted(MASTER)
    found = portion(*map(came_from, (OWN, THIRD)), rows_from=None)
    sifter.sift([found])
    assert [sql.decode() for sql in found.frames.sql] == list(map(came_from, (OWN, THIRD)))
    assert sifter.left_out == 0
    # Where rows begin in between, only they state one.
    length = len(found.frames.record(0))
    found = portion(*map(came_from, (OWN, OWN)), rows_from=100 + length)
    sifter.sift([found])
    assert [sql.decode() for sql in found.frames.sql] == [came_from(OWN), ""]
    assert sifter.left_out == 1

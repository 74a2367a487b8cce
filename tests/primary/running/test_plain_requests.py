"""Requests of one plain statement each, applied together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.primary.parts.together import FailedTogether
from spgrepl.primary.running.plain_requests import apply_plain
from spgrepl.primary.running.session import WriterSession
from tests.primary.copying import Writer, assert_same_on_copy, opened


@pytest.fixture(params=["OFF", "ON"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writer]:
    """With foreign keys each request is looked after; without, the compiled core runs all, where it is there."""
    create = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)"
    with opened(tmp_path, create, f"PRAGMA foreign_keys = {request.param}") as made:
        yield made


@pytest.fixture
def session(writer: Writer) -> Iterator[WriterSession]:
    made = writer.start_group(durable=False)
    yield made
    made.rollback()


def inserts(*numbers: int) -> list[str]:
    return [f"INSERT INTO t VALUES ({number}, 'x')" for number in numbers]


def test_each_has_its_part_of_the_recording(writer: Writer, session: WriterSession) -> None:
    applied = apply_plain(session, inserts(1, 2, 3))
    assert [one.logged for one in applied] == [True, True, True]
    assert [one.start for one in applied[1:]] == [one.stop for one in applied[:-1]]
    assert list(session.recording.statements()) == [
        b"INSERT INTO t(a,b)VALUES(%d,'x')" % number for number in (1, 2, 3)
    ]
    writer.finish_group(session, applied)
    assert writer.rows("SELECT a FROM t") == [(1,), (2,), (3,)]
    assert_same_on_copy(writer)


def test_where_one_fails_none_leaves_a_trace(session: WriterSession) -> None:
    with pytest.raises(FailedTogether):
        apply_plain(session, inserts(1, 2, 1))
    assert session.in_transaction
    assert not session.may_put_together
    assert list(session.connection.execute("SELECT a FROM t")) == []
    assert list(session.recording.statements()) == []

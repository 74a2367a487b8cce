"""Statements that are run together: each is recorded as if it had come alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from spgrepl.errors import EngineFailed
from spgrepl.primary.parts.together import FailedTogether
from spgrepl.primary.running.session import WriterSession
from spgrepl.primary.running.together_runner import TogetherRunner
from tests.compiled.kit import needs_core
from tests.primary.copying import opened

TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY, b)"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WriterSession]:
    with opened(tmp_path, TABLE) as writer:
        made = writer.start_group(durable=False)
        made.recording.begin()
        yield made
        made.rollback()


def runner(session: WriterSession) -> TogetherRunner:
    return session.runner.together


def inserts(*numbers: int) -> list[str]:
    return [f"INSERT INTO t VALUES ({number}, 'it''s')" for number in numbers]


def test_all_are_recorded_in_their_order(session: WriterSession) -> None:
    runner(session).run([*inserts(3, 1), "UPDATE t SET b = a"])
    session.recording.end()
    assert [sql.decode() for sql in session.recording.statements()] == [
        "INSERT INTO t(a,b)VALUES(3,'it''s')",
        "INSERT INTO t(a,b)VALUES(1,'it''s')",
        "UPDATE t SET b=1 WHERE a=1",
        "UPDATE t SET b=3 WHERE a=3",
    ]


def test_what_each_did_is_recorded_when_it_has_ended(session: WriterSession) -> None:
    seen: list[int] = []
    texts = [*inserts(1, 2, 3, 4), "UPDATE t SET b = 0 WHERE a > 5", "UPDATE t SET b = 0", *inserts(5)]
    runner(session).run(texts, lambda: seen.append(session.recording.changes))
    assert seen == [1, 2, 3, 4, 4, 8, 9]


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO t VALUES (1, 2)", "INSERT INTO spgrepl_state VALUES (1)", "INSERT INTO nowhere VALUES (1)"],
)
def test_a_refusal_does_not_say_which_one_failed(session: WriterSession, sql: str) -> None:
    with pytest.raises(FailedTogether):
        runner(session).run([*inserts(1), sql])
    assert not session.runner._guard.watching


def test_an_interruption_ends_it_before_it_begins(session: WriterSession) -> None:
    session.runner._control.interruption = lambda: EngineFailed("stopped")
    with pytest.raises(EngineFailed, match="stopped"):
        runner(session).run(inserts(1))
    assert session.connection.execute("SELECT count(*) FROM t").get == 0


@needs_core
def test_a_group_says_where_each_begins_and_ends(session: WriterSession) -> None:
    stops = runner(session).run_group([*inserts(1, 2), "UPDATE t SET b = 0 WHERE a > 5", *inserts(3)])
    assert stops is not None
    pieces = [b"".join(session.recording.pieces(start, stop)) for start, stop in pairwise(stops)]
    found = [number for number, piece in zip((1, 2, 9, 3), pieces, strict=True) if b"VALUES(%d," % number in piece]
    assert found == [1, 2, 3]
    assert pieces[2] == b""


@needs_core
def test_a_group_that_the_core_cannot_write_leaves_no_record(session: WriterSession) -> None:
    """SQLite's report of a change cannot be read where a generated column is not stored."""
    session.connection.execute("CREATE TABLE c (a, v AS (a + 1))")
    session.runner.recorder.forget_layouts()
    assert runner(session).run_group(["INSERT INTO t VALUES (1, 1)", "INSERT INTO c VALUES (1)"]) is None
    assert session.recording.is_empty

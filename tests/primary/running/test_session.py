"""The connection that writes: a request leaves all of its trace or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import EngineFailed, StatementFailed, SubscriptionGone
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.parts.requests import Request
from spgrepl.primary.parts.together import FailedTogether
from spgrepl.primary.running.session import WriterSession
from spgrepl.sqlite import state as sqlite_state
from tests.primary.copying import content

TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b UNIQUE)"


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WriterSession]:
    with closing(WriterSession(tmp_path / "a.db", 10_000, busy_seconds=0)) as made:
        made.prepare()
        sqlite_state.ensure_table(made.connection)
        made.connection.execute(TABLE)
        made.begin_group()
        yield made


STATEMENTS = st.sampled_from(
    [
        "INSERT INTO t (b) VALUES (1)",
        "INSERT INTO t (b) VALUES (2), (3)",
        "INSERT OR FAIL INTO t (b) VALUES (4), (1), (5)",
        "UPDATE t SET b = b + 10",
        "DELETE FROM t WHERE b > 10",
        "CREATE TABLE u (a)",
        "INSERT INTO u VALUES (1)",
        "DROP TABLE u",
        "SELECT * FROM nowhere",
    ]
)
requests = st.lists(STATEMENTS, min_size=1, max_size=4).map(lambda found: Request(tuple(found), True))


@settings(max_examples=20)
@given(st.lists(requests, max_size=5))
def test_a_request_that_fails_leaves_no_trace_and_the_others_make_the_copy(work: list[Request]) -> None:
    with closing(WriterSession(Path(":memory:"), 10_000)) as session, closing(apsw.Connection(":memory:")) as copy:
        session.runner.install()
        for connection in (session.connection, copy):
            connection.execute(TABLE)
        session.begin_group()
        for request in work:
            before, length = content(session.connection), session.recording.length
            try:
                session.apply(request)
            except FailedTogether:
                pass  # as the callers do, which apply it again, one by one
            except StatementFailed:
                assert (content(session.connection), session.recording.length) == (before, length)
        session.finish()
        for sql in session.recording.statements():
            copy.execute(sql.decode())
        assert content(copy) == content(session.connection)


def test_a_failure_names_its_statement(session: WriterSession) -> None:
    request = Request(("INSERT INTO t (b) VALUES (1)", "CREATE TABLE u (a)", "INSERT INTO t (b) VALUES (1)"), True)
    with pytest.raises(StatementFailed, match="UNIQUE") as caught:
        session.apply(request)
    assert (caught.value.number, caught.value.sql) == (3, request.statements[2])


def test_one_that_takes_the_transaction_along_says_so_by_its_end(session: WriterSession) -> None:
    session.apply(Request(("INSERT INTO t (b) VALUES (1)",)))
    with pytest.raises(StatementFailed):
        session.apply(Request(("INSERT OR ROLLBACK INTO t (b) VALUES (1)",)))
    assert not session.in_transaction


def test_a_step_that_fails_leaves_the_steps_before_it(session: WriterSession) -> None:
    session.begin_request()
    session.run_step("INSERT INTO t (b) VALUES (1)", None, None, 1)
    with pytest.raises(StatementFailed):
        session.run_step("INSERT OR FAIL INTO t (b) VALUES (2), (1)", None, None, 2)
    session.run_step("INSERT INTO t (b) VALUES (3)", None, None, 3)
    session.end_request(Request(("", "", ""), True))
    assert list(session.connection.execute("SELECT b FROM t")) == [(1,), (3,)]
    assert len(list(session.recording.statements())) == 2


def test_a_mark_whose_subscription_stands_elsewhere_undoes_the_request(session: WriterSession) -> None:
    begun = SubscriptionState(("p",), 5, 5)
    session.apply(Request((), True, SubscriptionMark("s", None, begun)))
    late = SubscriptionMark("s", SubscriptionState(("p",), 5, 77), SubscriptionState(("p",), 5, 99))
    with pytest.raises(SubscriptionGone, match="does not stand at position 77"):
        session.apply(Request(("INSERT INTO t (b) VALUES (1)",), True, late))
    assert session.connection.execute("SELECT count(*) FROM t").get == 0
    assert session.recording.is_empty


def test_another_program_that_holds_the_lock_is_said(session: WriterSession, tmp_path: Path) -> None:
    session.rollback()
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineFailed, match="cannot be written at present"):
            session.begin_group()
    session.begin_group()


def test_what_another_program_changed_is_known_by_the_next_group(session: WriterSession, tmp_path: Path) -> None:
    session.apply(Request(("INSERT INTO t (b) VALUES (1)",)))
    session.commit()
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as other:
        other.execute("ALTER TABLE t ADD COLUMN c")
    session.begin_group()
    session.apply(Request(("UPDATE t SET c = 5",)))
    assert list(session.recording.statements()) == [b"UPDATE t SET c=5 WHERE a=1"]

"""Statements of the log, run again where they are missing in the database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from spgrepl.errors import StatementFailed
from spgrepl.primary.running.replayer import Replayer
from spgrepl.primary.running.session import WriterSession
from tests.primary.copying import opened

SCHEMA = (
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b)",
    "CREATE TABLE seen (a)",
    "CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (NEW.a); END",
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WriterSession]:
    with opened(tmp_path, *SCHEMA) as writer:
        made = writer.start_group(durable=False)
        yield made
        made.rollback()


@pytest.fixture
def replayer(session: WriterSession) -> Replayer:
    return Replayer(session.connection, session.runner)


def held(session: WriterSession, table: str) -> list[object]:
    return list(session.connection.execute(f"SELECT * FROM {table}"))


def test_a_row_is_that_row_alone_and_is_not_recorded_again(session: WriterSession, replayer: Replayer) -> None:
    replayer.run([b"INSERT INTO t(a,b)VALUES(1,'x')", b"UPDATE t SET b='y' WHERE a=1"], rows=True)
    assert (held(session, "t"), held(session, "seen")) == ([(1, "y")], [])
    assert session.recording.is_empty


def test_a_statement_of_a_user_does_all_that_it_did(session: WriterSession, replayer: Replayer) -> None:
    replayer.run([b"INSERT INTO t VALUES (1, 'x')"], rows=False)
    assert held(session, "seen") == [(1,)]
    assert session.recording.is_empty


@pytest.mark.parametrize("sql", [b"UPDATE t SET b='y' WHERE a=7", b"DELETE FROM t WHERE a=7"])
def test_a_row_that_is_not_there_means_another_database(replayer: Replayer, sql: bytes) -> None:
    with pytest.raises(StatementFailed, match="it changes 0 rows, not one") as caught:
        replayer.run([b"INSERT INTO t(a,b)VALUES(1,'x')", sql], rows=True)
    assert caught.value.number == 2


def test_an_emptied_table_may_have_had_any_number_of_rows(session: WriterSession, replayer: Replayer) -> None:
    replayer.run([b"DELETE FROM t", b"INSERT INTO t(a,b)VALUES(1,'x')", b"DELETE FROM t"], rows=True)
    assert held(session, "t") == []


def test_triggers_and_records_work_again_after_a_refusal(session: WriterSession, replayer: Replayer) -> None:
    with pytest.raises(StatementFailed, match="no such table"):
        replayer.run([b"INSERT INTO nowhere(a)VALUES(1)"], rows=True)
    assert session.connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, -1)
    session.runner.recorder.start()
    session.connection.execute("INSERT INTO t VALUES (1, 'x')")
    session.runner.recorder.finish()
    assert session.recording.changes == 2


def test_the_catalogue_is_changed_too(session: WriterSession, replayer: Replayer) -> None:
    replayer.run([b"CREATE PUBLICATION p FOR TABLE t"], rows=True)
    assert session.connection.execute("SELECT count(*) FROM spgrepl_publications").get == 1

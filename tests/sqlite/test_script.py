"""Many statements as one script, where that is sure to mean the same."""

from __future__ import annotations

from contextlib import closing

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.sqlite.script import execute_piece, joined_script

ROW = b"INSERT INTO t VALUES (1)"


@pytest.mark.parametrize(
    "sql",
    [ROW, b"INSERT INTO t VALUES ('it''s; so')", b'INSERT INTO "t" VALUES (1)', b"INSERT INTO t VALUES ('?')"],
)
def test_what_stands_alone_is_joined(sql: bytes) -> None:
    script = joined_script([ROW, sql, ROW])
    assert script == b";\n".join([ROW, sql, ROW]).decode() + ";"


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t VALUES ('open",
        b'INSERT INTO "t VALUES (1)',
        b"INSERT INTO t VALUES (1) /* open",
        b"INSERT INTO t VALUES (?)",
        b"INSERT INTO t VALUES (:a)",
        b"SELECT 1; SELECT 2",
        b"COMMIT; SELECT 1",
        b"DELETE FROM spgrepl_replay",
        b"SELECT '\0'",
        b"SELECT '\xff'",
    ],
)
def test_what_could_mean_something_else_is_not(sql: bytes) -> None:
    assert joined_script([ROW, sql, ROW]) is None


@given(
    st.lists(st.sampled_from([b"'", b'"', b";", b"--", b"/*", b"*/", b"[", b"a", b"1", b" ", b"?"]), max_size=8)
)
def test_a_script_has_as_many_statements_as_were_joined(parts: list[bytes]) -> None:
    odd = b"SELECT " + b"".join(parts)
    script = joined_script([odd, ROW])
    if script is None:
        return
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a)")
        try:
            connection.execute(odd.decode()).fetchall()
        except apsw.Error:
            return
        connection.execute(script).fetchall()
        assert connection.execute("SELECT count(*) FROM t").get == 1


def test_a_transaction_in_a_record_becomes_a_savepoint() -> None:
    controls: list[bytes] = []
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute("CREATE TABLE t (a); BEGIN")

        def piece(sql: str) -> None:
            execute_piece(connection, sql, lambda _, text: controls.append(text), connection.execute)

        for sql in ("BEGIN", ROW.decode(), "COMMIT", "BEGIN", ROW.decode(), "ROLLBACK", "SHOW PUBLICATIONS"):
            piece(sql)
        assert connection.in_transaction
        assert connection.execute("SELECT count(*) FROM t").get == 1
    assert controls == [b"SHOW PUBLICATIONS"]

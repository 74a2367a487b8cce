"""Statements of a log that would never end."""

from __future__ import annotations

import itertools
from pathlib import Path

import apsw
import pytest

from spgrepl.engines.sqlite_applier import StatementApplier
from spgrepl.errors import StatementRefused
from spgrepl.sqlite import time_limit

ENDLESS = (
    b"INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0"
)


def test_a_statement_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """The ones before it count, and the connection goes on."""
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    applier = StatementApplier(connection, path, lambda *_: None, seconds=0.2)
    applier.begin()
    applier.execute([b"CREATE TABLE t (i)"], {})
    with pytest.raises(
        StatementRefused, match=r"it ran for 0.2 s, which is the limit \(--max-statement"
    ) as refused:
        applier.execute([b"INSERT INTO t VALUES (1)", ENDLESS, b"INSERT INTO t VALUES (2)"], {})
    assert refused.value.index == 1
    applier.rollback()
    applier.begin()
    applier.execute([b"CREATE TABLE t (i)", b"INSERT INTO t VALUES (3)"], {})
    assert connection.execute("SELECT i FROM t").fetchall() == [(3,)]
    applier.rollback()
    connection.close()


def test_many_short_statements_are_no_long_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on when it is looked at, however busy this machine is."""
    looks = itertools.count()
    monkeypatch.setattr(time_limit, "monotonic", lambda: next(looks) * 0.01)
    path = tmp_path / "a.db"
    connection = apsw.Connection(str(path))
    applier = StatementApplier(connection, path, lambda *_: None, seconds=0.05)
    applier.begin()
    applier.execute([b"CREATE TABLE t (i)"], {})
    numbers = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 60000)"
    some = f"INSERT INTO t {numbers} SELECT i FROM n".encode()
    applier.execute([some] * 10, {})
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (600_000,)
    assert next(looks) * 0.01 > 0.05, "all of them together took longer than one may"
    applier.rollback()
    connection.close()

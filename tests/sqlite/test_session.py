"""What all connections that apply statements share."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.sqlite import session
from spgrepl.sqlite.session import (
    Patience,
    cannot_open,
    extended_code,
    plain_connection,
    prepare_applying,
    prepare_session,
    result_code,
)

CHANGED = {
    "foreign_keys": 0,
    "recursive_triggers": 0,
    "ignore_check_constraints": 0,
    "legacy_alter_table": 0,
    "reverse_unordered_selects": 0,
    "trusted_schema": 1,
}


def test_a_statement_means_the_same_whatever_was_set_before() -> None:
    with closing(apsw.Connection(":memory:")) as connection:
        for name, value in CHANGED.items():
            connection.execute(f"PRAGMA {name} = {1 - value}")
        connection.execute("PRAGMA case_sensitive_like = ON")
        prepare_session(connection)
        assert {name: connection.pragma(name) for name in CHANGED} == CHANGED
        assert connection.execute("SELECT 'a' LIKE 'A'").get == 1


def test_a_log_has_no_business_with_other_files(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "a.db"))) as connection:
        prepare_applying(connection)
        assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 2)
        with pytest.raises(apsw.SQLError, match="too many attached"):
            connection.execute("ATTACH ':memory:' AS other")


def test_a_lock_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    with (
        closing(plain_connection(tmp_path / "a.db")) as holder,
        closing(plain_connection(tmp_path / "a.db", Patience(0.05))) as other,
    ):
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(apsw.BusyError):
            other.execute("BEGIN IMMEDIATE")
        holder.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")


def test_patience_ends_when_it_is_stopped_or_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr(session.time, "sleep", naps.append)
    given_up: list[int] = []
    patience = Patience(1000, lambda: bool(given_up))
    assert all(patience(tries) for tries in range(20))
    assert naps == sorted(naps)
    assert naps[-1] <= 0.05
    given_up.append(1)
    assert not patience(20)
    assert patience.over
    given_up.clear()
    patience.stopped = True
    assert not patience(21)


def test_what_is_only_read_is_neither_made_nor_written(tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        plain_connection(tmp_path / "a.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
    with closing(plain_connection(tmp_path / "a?b#%41.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    for immutable in (False, True):
        with closing(plain_connection(tmp_path / "a?b#%41.db", read_only=True, immutable=immutable)) as connection:
            assert list(connection.execute("SELECT * FROM t")) == []
            with pytest.raises(apsw.ReadOnlyError):
                connection.execute("DROP TABLE t")
    assert [path.name for path in tmp_path.iterdir()] == ["a?b#%41.db"]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (apsw.SQLITE_BUSY, EngineFailed, "another program keeps a.db locked"),
        (apsw.SQLITE_IOERR, EngineFailed, "a.db cannot be used at present"),
        (apsw.SQLITE_NOTADB, LocalFilesDamaged, "move it away"),
        (apsw.SQLITE_CORRUPT, LocalFilesDamaged, "move it away"),
    ],
)
def test_what_passes_is_told_from_what_is_damaged(error: int, kind: type[Exception], message: str) -> None:
    found = cannot_open(apsw.exception_for(error), Path("a.db"), "move it away")
    assert type(found) is kind
    assert message in str(found)


def test_codes_of_errors() -> None:
    with closing(apsw.Connection(":memory:")) as connection, pytest.raises(apsw.ConstraintError) as caught:
        connection.execute("CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1), (1)")
    assert result_code(caught.value) == apsw.SQLITE_CONSTRAINT
    assert extended_code(caught.value) == apsw.SQLITE_CONSTRAINT_UNIQUE
    assert (result_code(KeyError()), extended_code(KeyError())) == (0, 0)

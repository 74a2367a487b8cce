"""``spgrepl exec --new-log`` and ``--rebuild``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import apsw
import pytest

from spgrepl.cli import main
from spgrepl.engines.targets.stored_state import begin_subscription
from spgrepl.interfaces.target import SubscriptionState
from tests.primary.copying import opened, rows_of


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with opened(tmp_path, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)") as writer:
        return writer.paths.database


def test_a_new_log_keeps_the_old_one_aside(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wal = database.with_suffix(".wal")
    assert main(["exec", "--db", str(database), "--new-log"]) == 64
    assert "can be used: go on with it" in capsys.readouterr().err
    old = wal.read_bytes()[:-1] + b"x"
    wal.write_bytes(old)
    assert main(["exec", "--db", str(database), "--new-log"]) == 0
    said = capsys.readouterr().out
    aside = Path(said.splitlines()[0].partition("the old one is ")[2])
    assert said.startswith(f"{database} begins a new log; the old one is ")
    assert aside.read_bytes() == old
    assert main(["exec", "--db", str(database), "INSERT INTO t VALUES (2)"]) == 0
    assert rows_of(database, "SELECT a FROM t") == [(1,), (2,)]


def test_a_database_is_made_from_its_log(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database.unlink()
    for rest in ("-wal", "-shm"):
        database.with_name(database.name + rest).unlink(missing_ok=True)
    length = database.with_suffix(".wal").stat().st_size
    assert main(["exec", "--db", str(database), "--rebuild", "INSERT INTO t VALUES (2)"]) == 0
    assert f"{database} was made from its log, up to position {length}" in capsys.readouterr().out
    assert rows_of(database, "SELECT a FROM t") == [(1,), (2,)]


def test_a_database_that_is_there_is_not_made_again(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(apsw.Connection(str(database))) as connection:
        begin_subscription(connection, "s", SubscriptionState(("p",), 0, 0))
    before = rows_of(database, "SELECT a FROM t")
    assert main(["exec", "--db", str(database), "--rebuild"]) != 0
    assert capsys.readouterr().err
    assert rows_of(database, "SELECT a FROM t") == before

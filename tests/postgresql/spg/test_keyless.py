"""Tables of an SPG server without a primary key: its log has statements, and names no row by a number."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.cli import main
from spgrepl.engines.postgresql.engine import PostgresqlEngine
from spgrepl.interfaces.engine import ReplayState
from spgrepl.postgresql.address import ServerAddress
from tests.postgresql.conftest import Database
from tests.postgresql.test_spg import run
from tests.spgsql.copy import Copy


@pytest.fixture
def received(tmp_path: Path) -> Path:
    made, path = Copy(), tmp_path / "received"
    made.run(
        "CREATE TABLE bare (a INT, b TEXT)",
        "INSERT INTO bare VALUES (1, 'one'), (2, 'two'), (1, 'one')",
    )
    with apsw.Connection(str(path)) as to, to.backup("main", made.connection, "main") as backup:
        backup.step()
    return path


@pytest.fixture
def engine(database: Database, received: Path) -> Iterator[PostgresqlEngine]:
    made = PostgresqlEngine(ServerAddress.parse(database.url))
    made.open()
    shutil.copy(received, received.with_name("given"))
    made.install_snapshot(received.with_name("given"), ReplayState(100, 100))
    yield made
    made.close()


def test_its_columns_are_the_masters(engine: PostgresqlEngine, database: Database) -> None:
    """A column of numbers would have taken the first value of an INSERT that names no columns."""
    given = [
        "INSERT INTO bare VALUES (7, 'new')",
        "INSERT INTO bare (b) VALUES ('x')",
        "DELETE FROM bare WHERE a = 2",
    ]
    run(engine, given)
    found = database.query("SELECT * FROM bare ORDER BY a, b")
    assert found == [(1, "one"), (1, "one"), (7, "new"), (None, "x")]


def test_it_is_compared_by_all_that_its_rows_hold(
    engine: PostgresqlEngine, received: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(received), database.url]) == 0
    database.query("DELETE FROM bare WHERE ctid = (SELECT min(ctid) FROM bare WHERE a = 1)")
    assert main(["compare", str(received), database.url]) == 1
    assert "bare" in capsys.readouterr().out
    with closing(sqlite3.connect(received)) as connection, connection:
        connection.execute("DELETE FROM bare WHERE rowid = 3")
    assert main(["compare", str(received), database.url]) == 0

"""Opening a primary's database."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.errors import LocalFilesDamaged
from spgrepl.primary.parts.connection import (
    changed_by_others,
    open_database,
    set_up,
    unfit_values,
    writes_refused,
)
from spgrepl.sqlite.session import Patience


def test_it_writes_into_a_journal_that_readers_pass_by(tmp_path: Path) -> None:
    database = tmp_path / "a.db"
    with closing(open_database(database, Patience(0))) as connection:
        set_up(connection, database)
        connection.execute("CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)")
        with closing(open_database(database, Patience(0), read_only=True)) as reader:
            assert list(reader.execute("SELECT * FROM t")) == []
            with pytest.raises(apsw.ReadOnlyError):
                reader.execute("INSERT INTO t VALUES (2)")


def test_one_that_is_only_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(apsw.CantOpenError):
        open_database(tmp_path / "a.db", Patience(0), read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_statement_means_the_same_whatever_the_program_registers(tmp_path: Path) -> None:
    """Double quotes are names, and functions of the program are there."""

    def setup(connection: apsw.Connection) -> None:
        connection.create_scalar_function("twice", lambda value: 2 * value)

    with closing(open_database(tmp_path / "a.db", Patience(0), setup=setup)) as connection:
        assert connection.execute("SELECT twice(4)").get == 8


def test_a_database_that_cannot_have_a_journal_is_named() -> None:
    with closing(apsw.Connection(":memory:")) as connection, pytest.raises(LocalFilesDamaged) as caught:
        set_up(connection, Path("a.db"))
    assert str(caught.value).startswith("a.db is in journal mode memory and cannot be put into WAL mode")


def test_what_is_said_names_what_to_do(tmp_path: Path) -> None:
    assert "a.db was drained at position 77" in str(writes_refused(Path("a.db"), 77))
    assert "fresh snapshot" in changed_by_others(Path("a.db"))
    with closing(apsw.Connection(":memory:")) as connection, pytest.raises(apsw.BindingsError) as caught:
        connection.execute("SELECT ?, ?", (1,))
    assert "give a value for each" in unfit_values(caught.value)

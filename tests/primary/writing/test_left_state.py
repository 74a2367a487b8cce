"""How a primary has left its database, and whether it still is so."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.disk.files import DatabasePaths
from spgrepl.primary.writing.left_state import LeftState


@pytest.fixture
def paths(tmp_path: Path) -> DatabasePaths:
    paths = DatabasePaths.of(tmp_path / "main.db")
    write(paths, "PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
    return paths


def write(paths: DatabasePaths, sql: str) -> None:
    with closing(apsw.Connection(str(paths.database))) as connection:
        connection.execute(sql).fetchall()


def leave(paths: DatabasePaths) -> None:
    left = LeftState(paths)
    left.begin()
    left.end()


def test_nothing_is_known_without_a_note(paths: DatabasePaths) -> None:
    assert not LeftState(paths).was_changed()


def test_who_only_reads_changes_nothing(paths: DatabasePaths) -> None:
    leave(paths)
    write(paths, "SELECT * FROM t")
    assert not LeftState(paths).was_changed()


def test_who_did_not_write_notes_nothing(paths: DatabasePaths) -> None:
    LeftState(paths).end()
    assert not paths.left.exists()


def test_who_writes_is_noticed_once(paths: DatabasePaths) -> None:
    leave(paths)
    write(paths, "INSERT INTO t VALUES (1)")
    assert LeftState(paths).was_changed()
    LeftState(paths).begin()
    assert not LeftState(paths).was_changed()
    assert not paths.left.exists()


def test_who_still_has_it_open_and_has_written_is_noticed(paths: DatabasePaths) -> None:
    leave(paths)
    with closing(apsw.Connection(str(paths.database))) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        assert LeftState(paths).was_changed()


def test_nothing_is_noted_while_another_program_has_it_open_with_changes(paths: DatabasePaths) -> None:
    with closing(apsw.Connection(str(paths.database))) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        leave(paths)
    assert not paths.left.exists()


def test_a_backup_that_was_put_back_is_not_judged(paths: DatabasePaths, tmp_path: Path) -> None:
    leave(paths)
    shutil.copy(paths.database, tmp_path / "backup")
    (tmp_path / "backup").replace(paths.database)
    assert not LeftState(paths).was_changed()


@pytest.mark.parametrize("damage", [b"", b"SPGLEFT\x01", b"SPG", bytes(36)])
def test_what_a_loss_of_power_leaves_says_nothing(paths: DatabasePaths, damage: bytes) -> None:
    paths.left.write_bytes(damage)
    assert not LeftState(paths).was_changed()
    leave(paths)
    write(paths, "INSERT INTO t VALUES (1)")
    assert LeftState(paths).was_changed()


def test_a_strangers_file_stays(paths: DatabasePaths) -> None:
    paths.left.write_bytes(b"Dear diary, today I left the house.\n")
    assert not LeftState(paths).was_changed()
    leave(paths)
    assert paths.left.read_bytes().startswith(b"Dear diary")


def test_a_database_that_is_gone(paths: DatabasePaths) -> None:
    leave(paths)
    paths.database.unlink()
    assert not LeftState(paths).was_changed()
    leave(paths)
    assert not paths.left.exists()


def test_whoever_has_no_lock_is_not_deceived_by_a_writer_of_ours(
    paths: DatabasePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins, and writes, between the look at the note and the one at the database."""
    leave(paths)
    write(paths, "SELECT * FROM t")
    assert not LeftState(paths).is_changed()
    real = LeftState._has_journal

    def meanwhile(left: LeftState) -> bool:
        # The note was read, and so was the database's state.
        LeftState(paths).begin()
        with closing(apsw.Connection(str(paths.database))) as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            return real(left)

    with monkeypatch.context() as patch:
        patch.setattr(LeftState, "_has_journal", meanwhile)
        assert not LeftState(paths).is_changed()
    leave(paths)
    assert not LeftState(paths).is_changed()
    write(paths, "INSERT INTO t VALUES (2)")
    assert LeftState(paths).is_changed()

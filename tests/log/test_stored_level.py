"""The WAL level that is left for the next start, in a file beside the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.errors import EngineFailed, LocalFilesDamaged
from spgrepl.log.stored_level import StoredLevel, read_level, write_level
from spgrepl.log.wal_level import Level, WalLevel
from spgrepl.testing.stepping import StepReactor


def test_a_level_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "x.wal.level"
    assert read_level(path) is None
    for level in Level:
        write_level(path, level)
        assert read_level(path) is level
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"logical", b"logical\n\n", b"my diary\n"])
def test_a_file_of_somebody_else_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wal.level"
    path.write_bytes(content)
    with pytest.raises(LocalFilesDamaged, match="is not a WAL level"):
        read_level(path)
    with pytest.raises(LocalFilesDamaged):
        write_level(path, Level.LOGICAL)
    assert path.read_bytes() == content


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="stays as it was"):
        write_level(tmp_path / "none" / "x.wal.level", Level.LOGICAL)
    with pytest.raises(EngineFailed, match="cannot be read"):
        read_level(tmp_path)


def test_a_level_that_is_set_is_there_after_a_restart(tmp_path: Path) -> None:
    reactor, path = StepReactor(), tmp_path / "x.wal.level"
    level = WalLevel()
    reactor.wait(StoredLevel(reactor, path, level).restore())
    assert level.value is Level.REPLICA
    reactor.wait(StoredLevel(reactor, path, level).set(Level.LOGICAL))
    assert level.value is Level.LOGICAL
    again = WalLevel()
    reactor.wait(StoredLevel(reactor, path, again).restore())
    assert again.value is Level.LOGICAL


def test_orders_are_carried_out_in_turn(tmp_path: Path) -> None:
    reactor, path = StepReactor(), tmp_path / "x.wal.level"
    level, told = WalLevel(), list[Level]()
    level.add_listener(told.append)
    stored = StoredLevel(reactor, path, level)
    first, second = stored.set(Level.LOGICAL), stored.set(Level.REPLICA)
    reactor.wait(second)
    assert first.called
    assert told == [Level.LOGICAL, Level.REPLICA]
    assert read_level(path) is Level.REPLICA


def test_a_level_that_cannot_be_left_is_not_put_into_effect(tmp_path: Path) -> None:
    reactor, level = StepReactor(), WalLevel()
    stored = StoredLevel(reactor, tmp_path / "none" / "x.wal.level", level)
    with pytest.raises(EngineFailed, match="stays as it was"):
        reactor.wait(stored.set(Level.LOGICAL))
    assert level.value is Level.REPLICA

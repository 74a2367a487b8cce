"""An old primary, or another copy, becomes a follower's: what both have stays, what it had alone is listed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.base.histories import History
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, DifferentHistory, LocalFilesDamaged
from spgrepl.failover.promotion import role_of
from spgrepl.failover.rejoin import NewPrimary, rejoin
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.state import StoredState
from tests.primary.copying import opened

NEW = "f" * 32


class OldPrimary:
    """The files of a primary that was, with three rows."""

    def __init__(self, folder: Path) -> None:
        with opened(folder, "CREATE TABLE t (a)") as writer:
            self.paths = writer.paths
            writer.execute("INSERT INTO t VALUES (1)")
            self.shared = writer.position
            writer.execute("INSERT INTO t VALUES (2)")
        self.length = self.paths.wal.stat().st_size
        stored = self.stored()
        self.history = stored.served[-1].id

    def stored(self) -> StoredState:
        with closing(apsw.Connection(str(self.paths.database))) as connection:
            found = sqlite_state.read_state(connection)
        assert found is not None
        return found

    def taken_over_at(self, position: int) -> NewPrimary:
        """A copy of it that was promoted at a position of its log, and has written since."""
        return NewPrimary((History(self.history, 0, position), History(NEW, 0)), position + 500)


@pytest.fixture
def old(tmp_path: Path) -> OldPrimary:
    return OldPrimary(tmp_path)


def test_one_with_nothing_of_its_own_goes_on_where_it_stood(old: OldPrimary) -> None:
    done = rejoin(old.paths, old.taken_over_at(old.length))
    assert (done.position, done.lost, done.reason) == (old.length, None, None)
    stored = old.stored()
    assert stored.role == sqlite_state.ROLE_FOLLOWER
    assert (stored.replay.position, stored.replay.base) == (old.length, old.length)
    assert stored.replay.fence is not None
    assert done.log is not None
    assert done.log.stat().st_size == old.length
    assert not old.paths.wal.exists()


def test_what_it_had_alone_is_listed_and_it_begins_again(old: OldPrimary) -> None:
    done = rejoin(old.paths, old.taken_over_at(old.shared))
    assert done.position is None
    assert done.lost is not None
    listed = [line for line in done.lost.path.read_text().splitlines() if not line.startswith("--")]
    assert listed == ["INSERT INTO t(rowid,a)VALUES(2,2);"]
    assert old.stored().replay.position == 0


def test_the_second_call_finds_the_work_done(old: OldPrimary) -> None:
    primary = old.taken_over_at(old.length)
    first = rejoin(old.paths, primary)
    second = rejoin(old.paths, primary)
    assert (second.position, second.lost, second.log) == (first.position, None, None)


def test_one_without_a_common_history_is_given_up_only_when_asked(old: OldPrimary) -> None:
    other = NewPrimary((History(NEW, 0),), 900)
    with pytest.raises(DifferentHistory, match="share no history"):
        rejoin(old.paths, other)
    assert role_of(old.paths) == sqlite_state.ROLE_PRIMARY
    done = rejoin(old.paths, other, resnapshot=True)
    assert (done.position, done.lost) == (None, None)
    assert done.log is not None
    assert done.log.stat().st_size == old.length


def test_a_primary_that_has_less_than_is_here_makes_the_rest_lost(old: OldPrimary) -> None:
    """It was promoted as it was, and has lost some of its log since."""
    done = rejoin(old.paths, NewPrimary((History(old.history, 0),), old.shared))
    assert done.position is None
    assert done.lost is not None


def test_what_is_no_database_of_ours_is_named_and_not_made(tmp_path: Path) -> None:
    paths = DatabasePaths.of(tmp_path / "a.db")
    primary = NewPrimary((History(NEW, 0),), 900)
    with pytest.raises(ConfigurationError, match="there is no database"):
        rejoin(paths, primary)
    assert list(tmp_path.iterdir()) == []
    with closing(apsw.Connection(str(paths.database))) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(ConfigurationError, match="is not the database of a primary or a follower"):
        rejoin(paths, primary)
    paths.database.write_bytes(b"x" * 4096)
    with pytest.raises(LocalFilesDamaged, match="cannot be used as a SQLite database"):
        rejoin(paths, primary)

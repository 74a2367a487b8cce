"""The log of what a subscription has applied: each unit once, whatever is killed, and never with a hole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import EngineFailed, LocalFilesDamaged, StatementRefused
from spgrepl.feed.applied_rows import AppliedRows
from spgrepl.feed.units import AppliedUnits
from spgrepl.feed.values import FeedKind, FeedStart
from spgrepl.interfaces.target import ITarget, SubscriptionState
from spgrepl.log.format.records import RecordType, encode_v2
from tests import sql
from tests.feed.kit import Log, texts

EMPTY = SubscriptionState(("p",), 100, 100)


def at(position: int) -> SubscriptionState:
    """A state further on."""
    return SubscriptionState(("p",), 100, position)


class Now:
    """A reactor that has one thread."""

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        """Call it at once."""
        function(*args)


class Files:
    """A target's files, which outlive what works with them."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "target.db"
        self.path = folder / "applied"
        with sql.connect(self.database) as connection:
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        self.log = Log(self.path, self.database, new_units=AppliedUnits)

    def target(self) -> AppliedRows:
        """What a new process makes."""
        return AppliedRows(Now(), SqliteTarget(self.database, "s"), self.path, self.database)

    def rows(self) -> list[Any]:
        """What was applied."""
        with sql.connect(self.database) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM t ORDER BY id")]

    def told(self) -> list[object]:
        """The rows that a feed gets from the beginning."""
        return [
            change.after["id"]
            for one in self.log.read()
            for change in one.changes
            if change.kind is FeedKind.INSERT and change.after is not None
        ]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def target(files: Files) -> Iterator[AppliedRows]:
    made = files.target()
    assert made.open() is None
    made.start(EMPTY)
    yield made
    made.close()


def insert(target: AppliedRows, number: int, position: int) -> None:
    """Apply a row as a unit of its own."""
    target.begin()
    target.execute([f"INSERT INTO t(id,a)VALUES({number},NULL)".encode()], {}, rows=True)
    target.commit(at(position))


def test_it_is_a_target(files: Files) -> None:
    verifyObject(ITarget, files.target())


def test_what_is_committed_as_one_is_told_as_one(files: Files, target: AppliedRows) -> None:
    target.begin()
    target.execute([b"INSERT INTO t(id,a)VALUES(1,'x')", b"UPDATE t SET a=NULL WHERE id=1"], {}, rows=True)
    target.execute([b"INSERT INTO t(id,a)VALUES(2,'x')"], {}, rows=False)
    target.execute([b"INSERT INTO `t` VALUES (3, 'x')"], {0: RecordType.MYSQL}, rows=False)
    target.commit(at(200))
    insert(target, 4, 250)
    first, second = files.log.read()
    assert [str(change.kind) for change in first.changes] == ["insert", "update", "statement", "statement"]
    assert first.changes[0].key == ("id",)
    assert first.changes[3].mysql
    assert [str(change.kind) for change in second.changes] == ["insert"]
    assert texts(files.log.read(first.position)) == texts([second])
    assert target.log.length == files.log.end


def test_what_is_rolled_back_is_not_told(files: Files, target: AppliedRows) -> None:
    target.begin()
    target.execute([b"INSERT INTO t(id,a)VALUES(1,'x')"], {}, rows=True)
    target.rollback()
    target.begin()
    with pytest.raises(StatementRefused):
        target.execute([b"INSERT INTO u(id)VALUES(1)"], {}, rows=True)
    target.rollback()
    insert(target, 2, 200)
    assert files.told() == files.rows() == [2]


def test_what_was_not_committed_is_cut_off(files: Files, target: AppliedRows) -> None:
    insert(target, 1, 200)
    length = files.path.stat().st_size
    insert(target, 2, 300)
    # As after a kill between the log and the database.
    target.close()
    with sql.connect(files.database) as connection:
        connection.execute("DELETE FROM t WHERE id = 2")
        connection.execute("UPDATE spgrepl_subscriber SET position = 200")
    with files.path.open("ab") as log:
        log.write(encode_v2(b"half of a unit") + b"\x80torn")
    again = files.target()
    state = again.open()
    assert state is not None
    assert files.path.stat().st_size == length == again.log.length
    insert(again, 3, 300)
    assert files.told() == files.rows() == [1, 3]
    again.close()


def test_a_commit_that_fails_leaves_nothing(files: Files, target: AppliedRows) -> None:
    insert(target, 1, 200)
    target.begin()
    target.execute([b"INSERT INTO t(id,a)VALUES(2,NULL)"], {}, rows=True)

    def refuse(_: SubscriptionState) -> None:
        raise EngineFailed("the disk is full")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target._target, "commit", refuse)
        with pytest.raises(EngineFailed, match="disk is full"):
            target.commit(at(300))
    target.rollback()
    insert(target, 3, 300)
    assert files.told() == files.rows() == [1, 3]


def test_a_unit_without_rows_moves_the_position_only(files: Files, target: AppliedRows) -> None:
    insert(target, 1, 200)
    target.begin()
    target.commit(at(5000))
    target.close()
    again = files.target()
    again.open()
    insert(again, 2, 6000)
    assert files.told() == [1, 2]
    again.close()


def test_a_subscription_that_went_on_without_its_log_is_refused(files: Files, target: AppliedRows) -> None:
    insert(target, 1, 200)
    target.close()
    alone = SqliteTarget(files.database, "s")
    alone.open()
    alone.begin()
    alone.execute([b"INSERT INTO t(id,a)VALUES(2,NULL)"], {}, rows=True)
    alone.commit(at(300))
    alone.close()
    again = files.target()
    with pytest.raises(LocalFilesDamaged, match="nothing after position 200"):
        again.open()
    again.close()
    files.path.rename(files.path.with_name("away"))
    fresh = files.target()
    fresh.open()
    insert(fresh, 3, 400)
    assert files.told() == [3]
    fresh.close()


def test_a_file_of_somebody_else_is_left_alone(files: Files) -> None:
    files.path.write_bytes(b"somebody's")
    made = files.target()
    with pytest.raises(LocalFilesDamaged, match="has not begun"):
        made.open()
    made.close()
    assert files.path.read_bytes() == b"somebody's"


def test_a_subscription_that_begins_again_begins_its_log_again(files: Files, target: AppliedRows) -> None:
    insert(target, 1, 200)
    lost: list[object] = []
    target.log.add_listener(Told(lost))
    target.start(at(700))
    assert len(lost) == 1
    assert list(files.log.read()) == []
    assert files.log.find(FeedStart.BEGINNING).position == 0


class Told:
    """Somebody who is told of a log's loss."""

    def __init__(self, lost: list[object]) -> None:
        self._lost = lost

    def log_grew(self, _length: int) -> None:
        """It grew."""

    def log_lost(self, reason: object) -> None:
        """It is lost."""
        self._lost.append(reason)

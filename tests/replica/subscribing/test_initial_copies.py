"""The initial copy of a subscription, as often as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import (
    CopyRefused,
    StartLost,
    TableMismatch,
    UsageError,
)
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.format.records import encode_statement
from spgrepl.replica.subscribing.service import SubscriberService, SubscriberSide, Subscription
from spgrepl.wire import subscription
from tests.master.kit import CLUSTER_ID
from tests.replica.subscribing.conftest import ROWS, TABLE, ended
from tests.replica.subscribing.kit import OURS, Rig, running
from tests.replica.subscribing.streams import insert
from tests.replica.subscribing.targets import run_sql


def test_a_snapshot_that_is_damaged_twice_in_the_same_way_is_the_masters_fault(rig: Rig) -> None:
    content = rig.master.source.content
    rig.master.source.content = content[:4096] + bytes(len(content) - 4096)
    rig.start()
    rig.settle(40)
    assert isinstance(ended(rig), CopyRefused)
    assert "damaged" in rig.status["error"]
    assert rig.master.source.saved == 2


def test_to_copy_there_must_be_a_place_for_the_snapshot(rig: Rig) -> None:
    with pytest.raises(UsageError, match="needs a place"):
        SubscriberService(
            rig.clock, rig.wire, SqliteTarget(rig.database, "s"), Subscription("s", ("p",)), SubscriberSide(OURS)
        )


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Rig]:
    """A master with rows and an empty log."""
    with running(tmp_path, tables=(TABLE, *ROWS)) as made:
        yield made


def test_a_subscription_may_begin_with_an_empty_log(empty: Rig) -> None:
    empty.start()
    empty.settle()
    assert empty.stored == SubscriptionState(("p",), 0, 0, master=CLUSTER_ID)
    empty.grow(insert(3))
    empty.settle()
    assert empty.numbers == [1, 2, 3]
    # The one record after position 0 cannot be compared: from there no stream can be asked for.
    empty.wire.last.cut()
    empty.grow(insert(4))
    empty.settle(2)
    assert empty.numbers == [1, 2, 3, 4]
    assert empty.master.source.saved == 1


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The master does not know of position 0, as an SPG server does not."""
    monkeypatch.setattr(subscription, "_has_room", lambda names: False)


def test_rows_are_copied_again_where_nothing_shows_which_log_it_is(empty: Rig) -> None:
    """At position 0 there is nothing to compare: the master may have begun another log."""
    empty.start()
    empty.settle()
    assert empty.numbers == [1, 2]
    empty.wire.last.cut()
    empty.save(TABLE, "INSERT INTO t VALUES (8)")
    empty.settle(2)
    assert empty.numbers == [8]
    assert empty.master.source.saved == 2
    empty.wire.last.cut()
    empty.grow(insert(9))
    empty.save(TABLE, "INSERT INTO t VALUES (8)", "INSERT INTO t VALUES (9)")
    empty.settle(2)
    assert empty.numbers == [8, 9]


@pytest.mark.usefixtures("foreign")
def test_a_log_that_grew_meanwhile_leads_to_another_copy(empty: Rig) -> None:
    empty.start()
    while empty.stored is None:
        empty.turn()
    empty.wire.reachable = False
    empty.wire.last.cut()
    empty.stop()
    assert empty.numbers == [1, 2]
    empty.grow(encode_statement(b"DELETE FROM t WHERE a = 1"), insert(3))
    empty.save(TABLE, "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)")
    empty.wire.reachable = True
    empty.start()
    empty.settle()
    assert empty.numbers == [2, 3]
    log = empty.master.log
    before = Mark(1, log.length, crc32(log.path.read_bytes()[1:]))
    assert empty.stored == SubscriptionState(("p",), log.length, log.length, master=CLUSTER_ID, before_copy=before)
    empty.grow(insert(4))
    empty.settle()
    assert empty.numbers == [2, 3, 4]


@pytest.mark.usefixtures("foreign")
def test_rows_that_no_copy_put_there_are_not_replaced(empty: Rig) -> None:
    run_sql(empty.database, TABLE, "INSERT INTO t VALUES (7)")
    empty.start(copy_data=False)
    empty.settle()
    empty.stop()
    empty.grow(insert(3))
    empty.save(TABLE, "INSERT INTO t VALUES (3)")
    empty.start()
    empty.settle()
    assert isinstance(ended(empty), TableMismatch)
    assert empty.numbers == [7]


@pytest.mark.usefixtures("foreign")
def test_without_a_copy_a_start_at_0_that_was_outgrown_is_lost(empty: Rig) -> None:
    run_sql(empty.database, TABLE)
    empty.start(copy_data=False)
    empty.settle()
    empty.wire.reachable = False
    empty.wire.last.cut()
    empty.grow(insert(3))
    empty.wire.reachable = True
    empty.settle(2)
    assert isinstance(ended(empty), StartLost)
    assert "position 0" in empty.status["error"]
    assert "--no-copy-data" in empty.status["error"]
    assert empty.numbers == []


@pytest.mark.usefixtures("foreign")
def test_a_snapshot_that_stands_at_0_for_ever_ends_the_subscription(rig: Rig) -> None:
    """The first one may: the log was set to length 0, and has grown since."""
    rig.master.source.position = 0
    rig.start()
    rig.settle(20)
    assert isinstance(ended(rig), StartLost)
    assert rig.master.source.saved == 3
    assert "--no-copy-data" in rig.status["error"]


def test_a_snapshot_that_stands_at_0_is_followed_by_all_of_the_log(rig: Rig) -> None:
    rig.master.source.position = 0
    rig.start()
    rig.settle(5)
    assert rig.stored is not None
    assert rig.stored.position == rig.master.log.length
    assert rig.stored.effective_start == 0
    assert rig.master.source.saved == 1

"""Small parts of roles."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest
from twisted.internet.defer import succeed

from spgrepl.base.histories import Histories
from spgrepl.base.waiters import PositionWaiters
from spgrepl.engines.targets.stored_state import begin_subscription
from spgrepl.errors import EngineFailed, LogTruncated, UsageError
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.log.wal_level import WalLevel
from spgrepl.server.role_parts import (
    OthersNotice,
    Reached,
    copy_position,
    level_of,
    open_transaction,
    own_histories,
    subscription_position,
)
from spgrepl.testing.stepping import StepReactor
from tests.primary.copying import opened


def in_thread(function: Any) -> Any:
    return succeed(function())


def test_a_master_has_the_level_of_its_primary() -> None:
    level = WalLevel()
    primary: Any = type("", (), {"wal_level": level, "open_seconds": 1.23456})()
    assert level_of(None, primary) is level_of(level, primary) is level
    assert level_of(level, None) is level
    with pytest.raises(UsageError, match="hand the level to the Primary alone"):
        level_of(WalLevel(), primary)
    told = open_transaction(primary)
    assert told is not None
    assert (told.count, told.seconds) == (1, 1.235)
    assert open_transaction(None) is None


def test_whose_positions_those_of_a_log_are(tmp_path: Path) -> None:
    with opened(tmp_path) as writer:
        current = writer.histories.current
        database = writer.paths.database
    reactor = StepReactor()
    assert reactor.wait(own_histories(in_thread, database, None)).current == current
    assert reactor.wait(own_histories(in_thread, None, None)) == Histories()
    database.write_bytes(b"x" * 4096)
    with pytest.raises(EngineFailed, match=r"primary\.db cannot be read"):
        own_histories(in_thread, database, None)


def test_where_a_copy_and_a_subscription_stand(tmp_path: Path) -> None:
    with opened(tmp_path) as writer, closing(apsw.Connection(str(writer.paths.database))) as connection:
        found = copy_position(connection)
        assert found is not None
        assert found[0] == writer.position
        assert subscription_position("s", connection) is None
        begin_subscription(connection, "s", SubscriptionState(("p",), 7, 77))
        assert subscription_position("s", connection) == (77, Histories(()))
    with closing(apsw.Connection(":memory:")) as empty:
        assert copy_position(empty) is None


def test_waiters_hear_how_long_the_log_is() -> None:
    reactor = StepReactor()
    waiters = PositionWaiters(reactor, "it")
    waiter = waiters.wait(50, None)
    reached = Reached(waiters)
    reached.log_grew(49)
    reached.log_lost(LogTruncated("gone"))
    assert not waiter.called
    reached.log_grew(50)
    assert reactor.wait(waiter) == 50


def test_a_write_of_another_program_is_noticed_once(tmp_path: Path) -> None:
    with opened(tmp_path, "CREATE TABLE t (a)") as writer:
        paths = writer.paths
    reactor = StepReactor()
    log: Any = type("", (), {"foreign": False})()
    notice = OthersNotice(reactor, paths, log)
    notice.start(None)
    reactor.pass_time(2)
    assert notice.warning is None
    with closing(apsw.Connection(str(paths.database))) as other:
        other.execute("INSERT INTO t VALUES (1)")
    reactor.pass_time(2)
    assert notice.warning is not None
    assert "another program has changed" in notice.warning
    notice.stop()
    notice.start("known already")
    reactor.pass_time(2)
    assert notice.warning == "known already"
    notice.stop()
    assert reactor.getDelayedCalls() == []

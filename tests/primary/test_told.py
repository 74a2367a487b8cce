"""What a primary tells of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import FileLost
from spgrepl.primary.primary import Primary
from spgrepl.primary.told import PrimaryTold
from spgrepl.testing.stepping import StepReactor


@pytest.fixture
def reactor() -> StepReactor:
    return StepReactor()


@pytest.fixture
def primary(reactor: StepReactor, tmp_path: Path) -> Iterator[Primary]:
    made = Primary(reactor, DatabasePaths.of(tmp_path / "a.db"))
    reactor.wait(made.open())
    yield made
    reactor.wait(made.close())


def test_requests_are_pending_until_they_are_answered(reactor: StepReactor, primary: Primary) -> None:
    assert isinstance(primary, PrimaryTold)
    answers: list[Deferred[Any]] = [primary.execute(f"CREATE TABLE t{number} (a)") for number in range(3)]
    assert primary.pending == 3
    for one in answers:
        reactor.wait(one)
    assert primary.pending == 0


def test_each_sync_of_the_log_is_measured(reactor: StepReactor, primary: Primary) -> None:
    before = primary.measures["fsync_seconds"].count
    reactor.wait(primary.execute("CREATE TABLE t (a)"))
    assert primary.measures["fsync_seconds"].count == before + 1


def test_a_log_that_was_taken_away_is_an_error(reactor: StepReactor, primary: Primary, tmp_path: Path) -> None:
    assert primary.error is None
    DatabasePaths.of(tmp_path / "a.db").wal.unlink()
    reactor.pass_time(2)
    assert isinstance(primary.error, FileLost)


def test_an_open_transaction_tells_for_how_long_others_wait(reactor: StepReactor, primary: Primary) -> None:
    assert (primary.open_seconds, primary.warning) == (None, None)
    opened = primary.transaction()
    reactor.wait(Deferred.fromCoroutine(opened.__aenter__()))
    reactor.wait(opened.execute("CREATE TABLE t (a)"))
    seconds = primary.open_seconds
    assert seconds is not None
    assert 0 <= seconds < 60
    reactor.wait(Deferred.fromCoroutine(opened.__aexit__(None, None, None)))
    assert primary.open_seconds is None

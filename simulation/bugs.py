"""Bugs that are put in on purpose, one at a time: a simulation that does not find them is worth nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from twisted.internet.defer import succeed

from spgrepl.engines.sqlite import SqliteEngine
from spgrepl.interfaces.engine import ReplayState
from spgrepl.log.durable import DurableReader
from spgrepl.log.transactions import units
from spgrepl.pairs.fence import FenceCheck
from spgrepl.replica.following.applied_log import AppliedLog
from spgrepl.replica.following.history import MasterHistory
from spgrepl.sqlite import state as sqlite_state


@contextlib.contextmanager
def position_stored_apart() -> Iterator[None]:
    """Rows are committed, and the position with the next transaction only."""
    before, late = SqliteEngine.begin, dict[int, ReplayState]()

    def commit(self: Any, state: ReplayState) -> None:
        connection = self._opened().ready()
        if id(self) in late:
            sqlite_state.write_state(connection, sqlite_state.ROLE_FOLLOWER, late[id(self)])
        connection.execute("COMMIT")
        late[id(self)] = state

    with mock.patch.object(SqliteEngine, "commit", commit), mock.patch.object(SqliteEngine, "begin", before):
        yield


@contextlib.contextmanager
def part_of_a_record_counted() -> Iterator[None]:
    """What has come of a record that is not whole is taken for applied after a restart."""
    before = SqliteEngine.commit

    def commit(self: Any, state: ReplayState) -> None:
        before(self, ReplayState(state.position + 1, state.base, state.fence, state.pair, state.marks))

    with mock.patch.object(SqliteEngine, "commit", commit):
        yield


@contextlib.contextmanager
def begin_ignored() -> Iterator[None]:
    """Each record of a transaction is applied for itself."""
    with mock.patch.object(units._Run, "_step", return_value=None):  # noqa: SLF001
        yield


@contextlib.contextmanager
def served_before_open() -> Iterator[None]:
    """A relay answers with a log of no length until its copy is open."""
    before = AppliedLog.__init__

    def made(self: Any, *arguments: Any) -> None:
        before(self, *arguments)
        self.known = True

    with mock.patch.object(AppliedLog, "__init__", made):
        yield


@contextlib.contextmanager
def durable_length_ignored() -> Iterator[None]:
    """A master serves whatever is in the log's file."""
    with mock.patch.object(DurableReader, "read", return_value=None):
        yield


@contextlib.contextmanager
def fence_skipped() -> Iterator[None]:
    """A follower goes on at its position whatever the master's log holds before it."""
    with (
        mock.patch.object(FenceCheck, "start", property(lambda self: self._state.position)),
        mock.patch.object(FenceCheck, "passed", property(lambda _self: True)),
        mock.patch.object(FenceCheck, "feed", lambda _self, data: data),
        mock.patch.object(MasterHistory, "compare", return_value=succeed(None)),
    ):
        yield


BUGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "": contextlib.nullcontext,
    "position-apart": position_stored_apart,
    "part-of-a-record": part_of_a_record_counted,
    "begin-ignored": begin_ignored,
    "served-before-open": served_before_open,
    "durable-ignored": durable_length_ignored,
    "fence-skipped": fence_skipped,
}
"""The bugs by the names that ``--bug`` takes."""

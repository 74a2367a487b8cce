"""The logs that a feed can read, and how far they may be read."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from spgrepl.base.results import QueryResult
from spgrepl.errors import LogTruncated
from spgrepl.feed.applied_rows import AppliedRows
from spgrepl.feed.units import AppliedUnits, IUnits, TransactionUnits
from spgrepl.log.source import ILogListener
from spgrepl.primary import Primary
from spgrepl.replica.following.applied_log import AppliedLog
from spgrepl.replica.following.service import FollowerService
from spgrepl.server.roles import FollowerRole


class FeedSource(ABC):
    """A log that grows, and the database that goes with it.

    Attributes:
        name: What the log is called in errors.
        database: The database; None where there is none to ask for keys.
        grew: Called when the log may be read further, or is known at last.
        ended: Called with the reason when there is nothing more to come.
    """

    def __init__(self, name: str, database: Path | None) -> None:
        self.name = name
        self.database = database
        self.grew: Callable[[], None] = _nothing
        self.ended: Callable[[BaseException], None] = _ignored

    @property
    @abstractmethod
    def known(self) -> bool:
        """Whether it is known how far the log may be read."""

    @property
    @abstractmethod
    def base(self) -> int:
        """The position of the log's first byte."""

    @property
    @abstractmethod
    def end(self) -> int:
        """How far the log may be read: what stands before is applied and durable, and whole transactions."""

    @abstractmethod
    def open(self) -> int:
        """Open the log's file; returns its descriptor, which is the caller's.

        Raises:
            ConfigurationError: It cannot be read.
            OSError: It cannot be opened.
        """

    def new_units(self) -> IUnits:
        """Make what follows the log's transactions."""
        return TransactionUnits()

    @abstractmethod
    def start(self) -> None:
        """Call `grew` and `ended` from now on."""

    @abstractmethod
    def stop(self) -> None:
        """Call them no more."""


class PrimarySource(FeedSource):
    """A primary's log, as far as it has been acknowledged.

    Args:
        primary: The primary, which must be open when the feed starts.
    """

    def __init__(self, primary: Primary) -> None:
        super().__init__(f"the log {primary.paths.wal}", primary.paths.database)
        self._primary = primary
        self._waiting: Deferred[QueryResult] | None = None

    base = 0
    known = True

    @property
    def end(self) -> int:
        """See `FeedSource`."""
        return self._primary.position

    def open(self) -> int:
        """See `FeedSource`."""
        return os.open(self._primary.paths.wal, os.O_RDONLY | os.O_CLOEXEC)

    def start(self) -> None:
        """See `FeedSource`."""
        # Fails at once where the primary is not open.
        waiting = self._primary.query(f"WAIT FOR WAL POSITION {self.end + 1}")
        self._waiting = waiting
        waiting.addCallbacks(self._reached, self._failed)

    def _reached(self, _: QueryResult) -> None:
        self._waiting = None
        self.grew()
        self.start()

    def _failed(self, failure: Failure) -> None:
        self._waiting = None
        if not failure.check(CancelledError):
            assert failure.value is not None
            self.ended(failure.value)

    def stop(self) -> None:
        """See `FeedSource`."""
        if self._waiting is not None:
            self._waiting.cancel()


@implementer(ILogListener)
class AppliedLogSource(FeedSource):
    """A log that is published as it is applied: a follower's own, or a subscription's.

    Args:
        log: The log.
        new_units: Makes what follows its transactions.
    """

    def __init__(self, log: AppliedLog, new_units: Callable[[], IUnits] = TransactionUnits) -> None:
        super().__init__(f"the log {log.path}", log.database)
        self._published = log
        self._new_units = new_units

    @property
    def known(self) -> bool:
        """See `FeedSource`."""
        return self._published.known

    @property
    def base(self) -> int:
        """See `FeedSource`."""
        return self._published.base

    @property
    def end(self) -> int:
        """See `FeedSource`."""
        return self._published.base + self._published.length

    def open(self) -> int:
        """See `FeedSource`."""
        return os.dup(self._published.fileno())

    def new_units(self) -> IUnits:
        """See `FeedSource`."""
        return self._new_units()

    def start(self) -> None:
        """See `FeedSource`."""
        self._published.add_listener(self)

    def stop(self) -> None:
        """See `FeedSource`."""
        self._published.remove_listener(self)

    def log_grew(self, length: int) -> None:
        """See `ILogListener`."""
        self.grew()

    def log_lost(self, reason: LogTruncated) -> None:
        """See `ILogListener`."""
        self.ended(reason)


def source_of(origin: Primary | FollowerService | FollowerRole | AppliedRows | FeedSource) -> FeedSource:
    """The log of what a feed was asked for."""
    if isinstance(origin, FeedSource):
        return origin
    if isinstance(origin, AppliedRows):
        return AppliedLogSource(origin.log, AppliedUnits)
    if isinstance(origin, Primary):
        return PrimarySource(origin)
    follower = origin.follower if isinstance(origin, FollowerRole) else origin
    return AppliedLogSource(follower.log)


def _nothing() -> None:
    """Nobody listens."""


def _ignored(_: BaseException) -> None:
    """Nobody listens."""

"""One of two databases that are compared at one position: where it stands, and how it is held there. Blocking."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

from spgrepl.base.histories import History
from spgrepl.comparing.sqlite_reader import SqliteReader
from spgrepl.comparing.table_reader import TableReader
from spgrepl.engines.targets.stored_state import read_subscription
from spgrepl.errors import ConfigurationError, UsageError
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.session import plain_connection
from spgrepl.sqlite.state import ROLE_PRIMARY, subscription_names


@attrs.frozen
class Standing:
    """Where a database stands.

    Attributes:
        position: The position up to which it holds everything.
        histories: Whose positions these are.
    """

    position: int
    histories: tuple[History, ...]


@attrs.frozen
class Wanted:
    """Whose position counts in a database that may have several.

    Attributes:
        subscription: The subscription that was asked for; None for none.
        alone: Whether that counts where the database has a position of its own, too: a primary's or follower's.
    """

    subscription: str | None = None
    alone: bool = True


ANY = Wanted()


class ComparedEnd(ABC):
    """One of the two databases. Its ``str`` says which, for people.

    Attributes:
        reader: Reads its tables.
    """

    reader: TableReader

    @abstractmethod
    def see(self) -> None:
        """Begin to read what is there now, wherever it stands."""

    @abstractmethod
    def stands(self) -> Standing:
        """Where it stands, as far as the transaction sees that is open, if any."""

    @abstractmethod
    def look(self) -> int:
        """Begin to read what is there now.

        Returns:
            Its position.

        Raises:
            ConfigurationError: It has none.
        """

    @abstractmethod
    def leave(self) -> None:
        """End what `look` began; nothing happens where it has not."""

    @abstractmethod
    def holding(self) -> contextlib.AbstractContextManager[None]:
        """Let nobody write it inside a block; whoever writes it waits so long."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""


class SqliteEnd(ComparedEnd):
    """A SQLite database: a primary's, a follower's copy, or one with a subscription.

    Args:
        path: The database.
        wanted: Whose position counts; else that of the primary or follower, or of the only subscription.

    Attributes:
        connection: Reads it.
    """

    def __init__(self, path: Path, wanted: Wanted = ANY) -> None:
        self.path = path
        self._wanted = wanted
        self.connection = plain_connection(path, read_only=True)
        self.reader = SqliteReader(self.connection)

    def __str__(self) -> str:
        return str(self.path)

    def stands(self) -> Standing:
        """See `ComparedEnd`."""
        only = self._wanted.subscription is not None and self._wanted.alone
        stored = None if only else sqlite_state.read_state(self.connection)
        if stored is not None:
            at_head = stored.role == ROLE_PRIMARY
            return Standing(stored.replay.position, stored.served if at_head else stored.replay.histories)
        name = chosen_subscription(str(self), subscription_names(self.connection), self._wanted.subscription)
        state = read_subscription(self.connection, name)
        assert state is not None
        return Standing(state.position, state.histories)

    def see(self) -> None:
        """See `ComparedEnd`."""
        self.leave()
        self.connection.execute("BEGIN; SELECT count(*) FROM sqlite_master").fetchall()

    def look(self) -> int:
        """See `ComparedEnd`."""
        self.leave()
        self.connection.execute("BEGIN")
        return self.stands().position

    def leave(self) -> None:
        """See `ComparedEnd`."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """See `ComparedEnd`."""
        # A connection that may write, for the lock alone.
        with contextlib.closing(plain_connection(self.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    def close(self) -> None:
        """See `ComparedEnd`."""
        self.connection.close()


def chosen_subscription(where: str, names: Sequence[str], wanted: str | None) -> str:
    """Which subscription's position counts.

    Args:
        where: The database, for errors.
        names: The subscriptions that it has.
        wanted: The one that was asked for; None for the only one.

    Raises:
        ConfigurationError: It has none, or not that one.
        UsageError: It has several, and nobody chose.
    """
    if wanted is not None and wanted not in names:
        raise ConfigurationError(f"{where} has no subscription {wanted}: it has {', '.join(names) or 'none'}")
    if wanted is not None:
        return wanted
    if not names:
        raise ConfigurationError(f"{where} is not the database of a primary, a follower or a subscriber")
    if len(names) > 1:
        raise UsageError(
            f"{where} has the subscriptions {', '.join(names)}, each with a position of its own: choose one with "
            f"--subscription"
        )
    return names[0]

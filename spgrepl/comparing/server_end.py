"""A database of PostgreSQL that is compared at one position: a follower's copy, or a subscription. Blocking."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from spgrepl.comparing.ends import ANY, ComparedEnd, Standing, Wanted, chosen_subscription
from spgrepl.comparing.server_reader import ServerReader
from spgrepl.engines.postgresql.copy_state import state_of
from spgrepl.engines.targets.server_state import read_subscription
from spgrepl.errors import ConfigurationError
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.session import Session

_COPY = f"SELECT position, base, state FROM {SCHEMA}.copies"
_NAMES = f"SELECT name FROM {SCHEMA}.subscriptions ORDER BY name"
_HOLD_COPY = f"SELECT 1 FROM {SCHEMA}.copies FOR UPDATE"
_HOLD_SUBSCRIPTION = f"SELECT 1 FROM {SCHEMA}.subscriptions WHERE name = %s FOR UPDATE"


class ServerEnd(ComparedEnd):
    """A database in a server.

    Whoever writes it moves the row that says how far it has come, in the transaction that moves the rows: a lock
    on that row holds it.

    Args:
        address: The server.
        wanted: Whose position counts; else that of the copy, or of the only subscription.

    Attributes:
        session: Its connection.
    """

    def __init__(self, address: ServerAddress, wanted: Wanted = ANY) -> None:
        self.address = address
        self._wanted = wanted
        self.session = Session(address, "spgrepl compare")
        self._holder = Session(address, "spgrepl compare, holds")
        self._chosen = False
        self._subscription: str | None = None
        self.reader = ServerReader(self.session)

    def __str__(self) -> str:
        return str(self.address)

    def _choose(self, connection: Any) -> None:
        """See once what counts: the copy, or a subscription."""
        if self._chosen:
            return
        if not own_schema.is_there(connection):
            raise ConfigurationError(f"{self.address} is not the database of a follower or a subscriber")
        name = self._wanted.subscription
        only = name is not None and self._wanted.alone
        if only or connection.execute(_COPY).fetchone() is None:
            names = [str(one) for (one,) in connection.execute(_NAMES).fetchall()]
            self._subscription = chosen_subscription(str(self), names, name)
        self._chosen = True

    def stands(self) -> Standing:
        """See `ComparedEnd`."""
        with self.session.storing():
            connection = self.session.open()
            self._choose(connection)
            if self._subscription is not None:
                found = read_subscription(connection, self._subscription)
                if found is not None:
                    return Standing(found.position, found.histories)
            elif (row := connection.execute(_COPY).fetchone()) is not None:
                state, _, _ = state_of(*row)
                return Standing(state.position, state.histories)
        raise ConfigurationError(f"{self.address} has lost the row that says how far it has come")

    def see(self) -> None:
        """See `ComparedEnd`."""
        self.leave()
        with self.session.storing():
            self.session.open().execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def look(self) -> int:
        """See `ComparedEnd`."""
        self.see()
        return self.stands().position

    def leave(self) -> None:
        """See `ComparedEnd`."""
        self.session.rollback()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """See `ComparedEnd`."""
        with self._holder.storing():
            connection = self._holder.open()
            self._choose(connection)
            connection.execute("BEGIN")
            if self._subscription is None:
                connection.execute(_HOLD_COPY)
            else:
                connection.execute(_HOLD_SUBSCRIPTION, (self._subscription,))
        try:
            yield
        finally:
            self._holder.rollback()

    def close(self) -> None:
        """See `ComparedEnd`."""
        self.session.close()
        self._holder.close()

"""Transactions of a server that are done again where it asks for that."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any, TypeVar

from spgrepl.errors import EngineFailed
from spgrepl.postgresql import driver, own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.faults import Fault, judge
from spgrepl.postgresql.name_guard import NameGuard
from spgrepl.postgresql.names import literal
from spgrepl.postgresql.session import Session
from spgrepl.text.role_log import RoleLogger

_T = TypeVar("_T")

TRIES = 8
"""So often a transaction that meets others is done, before some time has to pass."""

_START_PATIENCE = 60.0
_FIRST_PAUSE = 0.01
_RECONNECT_PAUSE = 0.5


class Transactor:
    """One name's connection to a server, and its transactions.

    Args:
        address: The server.
        what: What has the name, such as ``subscription``.
        name: The name.
        fire_triggers: Whether triggers act on rows that arrive.

    Attributes:
        session: The connection.
        guard: Keeps a second process away from the name.
        retried: How many transactions were done again.
        reconnected: How often the connection was made again after it was lost.
    """

    _log = RoleLogger()

    def __init__(self, address: ServerAddress, what: str, name: str, fire_triggers: bool = False) -> None:
        self.address = address
        self._purpose = f"spgrepl {what} {name}"
        self.session = Session(address, self._purpose)
        self.guard = NameGuard(self.session, what, name)
        self.retried = 0
        self.reconnected = 0
        self._origin = f"spgrepl_{what}_{name}"
        self._fire_triggers = fire_triggers
        self._greeted: Any = None
        self._was_greeted = False

    @property
    def rows_act(self) -> bool:
        """Whether triggers and foreign keys act on the rows, so that these have to keep their order."""
        return self._fire_triggers or not self.session.features.replica_role

    # -- the connection ---------------------------------------------------------------------------------------

    def begin_again(self) -> None:
        """A new session, after one that was interrupted."""
        self.session.close()
        self.session = Session(self.address, self._purpose)
        self.guard = NameGuard(self.session, self.guard.what, self.guard.name)
        self._greeted = None

    def wait_for_server(self) -> Any:
        """The connection; a server that cannot be reached is tried for a minute.

        Raises:
            EngineFailed: It cannot be reached.
            ConfigurationError: It refuses.
            DatabaseLocked: Another process has the name.
        """
        waited = 0.0
        while True:
            try:
                return self.connection()
            except EngineFailed as error:
                if waited >= _START_PATIENCE or self.session.stopped.is_set():
                    raise
                self._log.warn("trying again in {pause} s: {error}", pause=_RECONNECT_PAUSE, error=error)
            self.session.stopped.wait(_RECONNECT_PAUSE)
            waited += _RECONNECT_PAUSE

    def connection(self) -> Any:
        """The connection, with the name taken and its settings made.

        Raises:
            EngineFailed: The server cannot be reached, or does not answer as it should.
            ConfigurationError: It refuses.
            DatabaseLocked: Another process has the name.
        """
        connection = self.session.open()
        if connection is not self._greeted:
            with self.session.storing():
                self._greet(connection)
            self._greeted = connection
            self.reconnected += self._was_greeted
            self._was_greeted = True
        return connection

    def _greet(self, connection: Any) -> None:
        features = self.session.features
        if not features.advisory_locks:
            own_schema.ensure(connection)
        self.guard.take(connection)
        if features.origins:
            self._set_origin(connection)
        if not self.rows_act:
            connection.execute("SET session_replication_role = replica")

    def _set_origin(self, connection: Any) -> None:
        """Let commits say where they come from, so that who decodes the server's log can tell."""
        psycopg = driver.load()
        try:
            self._take_origin(connection, self._origin)
        except psycopg.errors.ObjectInUse:
            # Origins are of the whole server: a name of the same may have it in another database.
            database = connection.execute("SELECT current_database()").fetchone()[0]
            self._take_origin(connection, f"{self._origin}@{database}")

    @staticmethod
    def _take_origin(connection: Any, origin: str) -> None:
        psycopg = driver.load()
        name = literal(origin)
        if connection.execute(f"SELECT pg_replication_origin_oid({name})").fetchone()[0] is None:
            # Somebody else may be quicker.
            with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                connection.execute(f"SELECT pg_replication_origin_create({name})")
        connection.execute(f"SELECT pg_replication_origin_session_setup({name})")

    def look(self) -> None:
        """See that the connection is still there, and that the name is this process's; for when nothing is done.

        Raises:
            EngineFailed: It is lost.
            DatabaseLocked: Another process has the name.
        """
        self.session.look()
        if self.session.is_idle and self.guard.is_to_be_renewed:
            with self.session.storing():
                self.renew(self.session.open())

    def close(self) -> None:
        """Close the connection, and give the name back."""
        if self.session.is_open and self._greeted is not None:
            psycopg = driver.load()
            self.session.rollback()
            try:
                if self.session.is_open:
                    self.guard.release(self.session.open())
            except (psycopg.Error, EngineFailed) as error:
                self._log.debug("the name was not given back: {error}", error=self.address.clean(str(error)))
        self._greeted = None
        self.session.close()

    # -- transactions -----------------------------------------------------------------------------------------

    def transact(self, work: Callable[[Any], _T]) -> _T:
        """Do something in a transaction, and do it again where the server says that it met another one.

        Args:
            work: Is given the connection, and does the same each time.

        Raises:
            EngineFailed: Nothing can be stored at present, or the connection was lost: whether the transaction
                took effect is known only from what it stored.
        """
        psycopg = driver.load()
        for attempt in range(1, TRIES + 1):
            connection = self.connection()
            try:
                connection.execute("BEGIN")
                result = work(connection)
                connection.execute("COMMIT")
            except psycopg.Error as error:
                again = judge(error, connection) is Fault.AGAIN and attempt < TRIES
                failure = None if again else self.session.failed(error)
                self.session.rollback()
                if failure is not None:
                    raise failure from error
                self.pause(attempt)
            except BaseException:
                self.session.rollback()
                raise
            else:
                return result
        raise AssertionError("unreachable")

    def pause(self, attempt: int) -> None:
        """Let others come to their end before a transaction is done again."""
        self.retried += 1
        self.session.stopped.wait(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.0))  # nosec B311

    def mark_commit(self, connection: Any, position: int) -> None:
        """Tell the server, in the open transaction, what position of the master's log its commit stands for."""
        if self.session.features.origins:
            lsn = f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
            connection.execute(f"SELECT pg_replication_origin_xact_setup('{lsn}', now())")

    def renew(self, connection: Any) -> None:
        """Keep the name, in the open transaction, where it is leased.

        Raises:
            DatabaseLocked: Another process has it.
        """
        renewal = self.guard.renewal()
        if renewal is not None and connection.execute(*renewal).rowcount != 1:
            raise self.guard.lost()

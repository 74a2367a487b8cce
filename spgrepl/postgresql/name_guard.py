"""Keeps two processes from working under one name in one database of a server."""

from __future__ import annotations

import secrets
from hashlib import sha256
from time import monotonic
from typing import Any

from spgrepl.errors import DatabaseLocked, EngineFailed
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.session import Session

LEASE_SECONDS = 15
"""So long a leased row keeps others away after it was last renewed."""

_PATIENCE = {True: 5.0, False: LEASE_SECONDS + 5.0}
"""How long to wait for the one who has the name: a process that was killed may still have its session, by whether
there are advisory locks."""

_PAUSE = 0.1
_HOLDER = """
SELECT a.pid, a.application_name, a.client_addr::text, a.backend_start::text
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
"""
_LEASE = f"""
INSERT INTO {SCHEMA}.leases AS l VALUES (%s, %s, now() + interval '{LEASE_SECONDS} seconds')
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
 WHERE l.owner = excluded.owner OR l.until < now()
RETURNING owner
"""
_RENEW = (
    f"UPDATE {SCHEMA}.leases SET until = now() + interval '{LEASE_SECONDS} seconds' WHERE name = %s AND owner = %s"
)


class NameGuard:
    """A name that only one session at a time has.

    Where the server has advisory locks, one is held as long as the connection lasts. Where it has none, a row is
    leased, and renewed in every transaction, and while there is none: a process whose lease was taken over can
    commit nothing more.

    Args:
        session: The connection.
        what: What has the name, such as ``subscription``.
        name: The name.

    Attributes:
        what: What has the name.
        name: The name.
    """

    def __init__(self, session: Session, what: str, name: str) -> None:
        self._session = session
        self.what = what
        self.name = name
        self._whole = f"{what} {name}"
        self._owner = secrets.token_hex(8)
        self._key = int.from_bytes(sha256(f"spgrepl {self._whole}".encode()).digest()[:8], "little", signed=True)
        self._taken_once = False
        self._renewed = 0.0

    def take(self, connection: Any) -> None:
        """Take the name, for a connection that was just made.

        Raises:
            DatabaseLocked: Another process has it.
            EngineFailed: The session that had it before a connection was lost has not ended yet.
        """
        locks = self._session.features.advisory_locks
        waited = 0.0
        while not self._try(connection, locks):
            if waited >= _PATIENCE[locks] or self._session.stopped.is_set():
                raise self._taken(connection, locks)
            self._session.stopped.wait(_PAUSE)
            waited += _PAUSE
        self._taken_once = True
        self._renewed = monotonic()

    def _try(self, connection: Any, locks: bool) -> bool:
        if locks:
            return bool(connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()[0])
        return connection.execute(_LEASE, (self._whole, self._owner)).fetchone() is not None

    def _taken(self, connection: Any, locks: bool) -> DatabaseLocked | EngineFailed:
        by = "another process"
        if locks:
            found = connection.execute(_HOLDER, (self._key,)).fetchone()
            if found is not None:
                pid, application, address, since = found
                by = f"the session {pid} ({application}, from {address or 'a local socket'}, since {since})"
        message = (
            f"the {self.what} {self.name!r} in {self._session.address} is in the hands of {by}: let one process "
            f"work under a name"
        )
        return EngineFailed(message) if self._taken_once else DatabaseLocked(message)

    @property
    def is_to_be_renewed(self) -> bool:
        """Whether a lease has less than half of its time left."""
        return not self._session.features.advisory_locks and monotonic() - self._renewed > LEASE_SECONDS / 2

    def renewal(self) -> tuple[str, tuple[str, str]] | None:
        """The statement that belongs into every transaction and has to change one row; None where none does."""
        if self._session.features.advisory_locks:
            return None
        self._renewed = monotonic()
        return _RENEW, (self._whole, self._owner)

    def lost(self) -> DatabaseLocked:
        """The error of a transaction in which the renewal changed nothing."""
        return DatabaseLocked(
            f"the {self.what} {self.name!r} in {self._session.address} was taken over by another process: let "
            f"one process work under a name"
        )

    def release(self, connection: Any) -> None:
        """Give the name back; a lock goes with its connection."""
        if not self._session.features.advisory_locks:
            connection.execute(
                f"DELETE FROM {SCHEMA}.leases WHERE name = %s AND owner = %s", (self._whole, self._owner)
            )

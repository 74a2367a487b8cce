"""One connection to a server: opened with settings under which texts mean the same everywhere, and ended."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
from collections.abc import Iterator
from threading import Event
from typing import Any

from spgrepl.errors import ConfigurationError, EngineFailed
from spgrepl.postgresql import driver
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.faults import Fault, judge, said
from spgrepl.postgresql.features import Features, detect
from spgrepl.text.role_log import RoleLogger

_CONNECT_TIMEOUT = "10"
_KEEPALIVES = {
    "keepalives_idle": (socket.TCP_KEEPIDLE, 30),
    "keepalives_interval": (socket.TCP_KEEPINTVL, 10),
    "keepalives_count": (socket.TCP_KEEPCNT, 3),
    "tcp_user_timeout": (socket.TCP_USER_TIMEOUT, 60_000),
}
"""Where neither the connection string nor a service file says otherwise: a server that is gone is noticed."""

_SETTINGS = (
    "SET standard_conforming_strings = on",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET IntervalStyle = 'postgres'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
    "SET statement_timeout = 0",
    "SET idle_in_transaction_session_timeout = 0",
    "SET lock_timeout = 0",
    "SET default_transaction_isolation = 'read committed'",
    "SET default_transaction_read_only = off",
)
# What other servers may lack, and can do without.
_OPTIONAL = (
    "SET idle_session_timeout = 0",
    "SET transaction_timeout = 0",
    "SET xmloption = content",
    "SET lc_monetary = 'C'",
    "SET lc_numeric = 'C'",
    "SET lc_time = 'C'",
    "SET transform_null_equals = off",
    "SET array_nulls = on",
    # What policies would hide is an error by name.
    "SET row_security = off",
)

_NO_RIGHT = "42501"
_FINAL = re.compile(
    r"password authentication failed|no password supplied|no pg_hba.conf entry|"
    r"(?:role|database) \".*\" does not exist|definition of service \".*\" not found|certificate"
)
"""What a server, or libpq, says to what cannot work, however often it is tried."""


class Session:
    """A connection that is opened when it is needed.

    Args:
        address: The server.
        purpose: What it is for; others see it as ``application_name``, unless that is named.

    Attributes:
        stopped: Set when nothing more is to be begun.
    """

    _log = RoleLogger()

    def __init__(self, address: ServerAddress, purpose: str) -> None:
        self.address = address
        self.stopped = Event()
        self._purpose = purpose
        self._connection: Any = None
        self._features: Features | None = None

    @property
    def features(self) -> Features:
        """What the server can do; known once it was reached."""
        assert self._features is not None
        return self._features

    @property
    def known_features(self) -> Features | None:
        """The same; None while the server was not reached."""
        return self._features

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and not self._connection.closed

    def open(self) -> Any:
        """The connection; made where there is none.

        Raises:
            ConfigurationError: The server refuses these credentials, this database, or the connection string.
            EngineFailed: It cannot be reached at present.
        """
        if self.stopped.is_set():
            raise EngineFailed(f"the connection to {self.address} is being closed")
        if self.is_open:
            return self._connection
        psycopg = driver.load()
        try:
            given = psycopg.conninfo.conninfo_to_dict(self.address.conninfo)
        except psycopg.Error:
            # What libpq says of a text that it cannot read may quote any part of it.
            raise ConfigurationError(
                f"{self.address} is not a connection string that libpq takes: write "
                f"postgresql://USER@HOST:PORT/DATABASE, with %XX for other characters than letters and digits, or "
                f"keywords of libpq with their values"
            ) from None
        # What is named here comes before service files and the environment, which may say otherwise.
        defaults = {"fallback_application_name": self._purpose[:63]}
        if "connect_timeout" not in given and "PGCONNECT_TIMEOUT" not in os.environ:
            defaults["connect_timeout"] = _CONNECT_TIMEOUT
        try:
            connection = psycopg.connect(self.address.conninfo, autocommit=True, **defaults)
        except psycopg.Error as error:
            raise self._unreachable(error) from None
        try:
            self._prepare(connection)
        except psycopg.Error as error:
            connection.close()
            raise self.failed(error) from error
        self._connection = connection
        return connection

    def _unreachable(self, error: Exception) -> Exception:
        text = self.address.clean(str(error))
        # libpq has no codes for what a server says while it connects. Other words are tried again, and time out.
        if _FINAL.search(text):
            said = (
                f"{self.address} refuses the connection: {text}; check user, database and password (which goes "
                f"into the file of PGPASSFILE, a service file, or PGPASSWORD)"
            )
            # It has let us in before: who changed a password may change it back, or the file of passwords.
            return ConfigurationError(said) if self._features is None else EngineFailed(said)
        return EngineFailed(f"{self.address} cannot be reached: {text}")

    def _prepare(self, connection: Any) -> None:
        psycopg = driver.load()
        _keep_alive(connection.pgconn)
        connection.prepare_threshold = None
        connection.execute("; ".join(_SETTINGS))
        if connection.info.encoding != "utf-8":
            connection.execute("SET client_encoding = 'UTF8'")
        for setting in _OPTIONAL:
            with contextlib.suppress(psycopg.errors.UndefinedObject, psycopg.errors.InvalidParameterValue):
                connection.execute(setting)
        if self._features is None:
            features = self._features = detect(connection)
            self._log.info(
                "connected to {server}: {name} {version}; absent: {absent}",
                server=self.address.shown,
                name=features.name,
                version=features.version,
                absent=", ".join(features.absent) or "nothing",
            )

    @property
    def is_idle(self) -> bool:
        """Whether there is a connection without a transaction."""
        idle = driver.load().pq.TransactionStatus.IDLE
        return self.is_open and self._connection.info.transaction_status == idle

    def look(self) -> None:
        """Read what the server says unasked; its last word, or the end of the connection, may be there.

        Raises:
            EngineFailed: The connection is lost; it is let go of.
        """
        if self._connection is None:
            return
        psycopg = driver.load()
        last_words: list[str] = []

        def hear(notice: Any) -> None:
            if notice.severity_nonlocalized in ("FATAL", "PANIC"):
                last_words.append(notice.message_primary)

        connection = self._connection
        connection.add_notice_handler(hear)
        try:
            readable = select.poll()
            readable.register(connection.pgconn.socket, select.POLLIN)
            while readable.poll(0):
                connection.pgconn.consume_input()
                connection.pgconn.is_busy()  # reads what has come
        except psycopg.Error as error:
            self.drop()
            text = self.address.clean(last_words[-1] if last_words else said(error))
            raise EngineFailed(f"the connection to {self.address} was lost: {text}") from error
        finally:
            connection.remove_notice_handler(hear)

    @contextlib.contextmanager
    def storing(self) -> Iterator[None]:
        """Report what the server refuses of what is our own as a failure to store.

        Raises:
            EngineFailed: An error of psycopg was raised inside.
        """
        psycopg = driver.load()
        try:
            yield
        except psycopg.Error as error:
            raise self.failed(error) from error

    def failed(self, error: Exception) -> EngineFailed:
        """The failure to store that an error means; a connection that is lost is let go of."""
        text = self.address.clean(said(error))
        if judge(error, self._connection) is Fault.LOST:
            self.drop()
            return EngineFailed(f"the connection to {self.address} was lost: {text}")
        if getattr(error, "sqlstate", None) == _NO_RIGHT:
            user = "" if self._connection is None else self._connection.info.user
            text += f"; let a superuser, or the owner, grant that right to the role {user}"
        return EngineFailed(f"{self.address} refuses at present: {text}")

    def rollback(self) -> None:
        """Undo what is not committed; where the server cannot be reached it has done so, or will."""
        connection = self._connection
        if connection is None:
            return
        psycopg = driver.load()
        if not connection.closed and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            return
        try:
            connection.execute("ROLLBACK")
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        """Let go of the connection, whatever state it is in."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(driver.load().Error, OSError):
                connection.close()

    def interrupt(self) -> None:
        """Begin nothing more, and end the statement that runs; in another thread than the others."""
        self.stopped.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            with contextlib.suppress(driver.load().Error, OSError):
                connection.cancel_safe(timeout=5)

    def close(self) -> None:
        """Close the connection; what is not committed is undone by the server."""
        self.drop()


def _keep_alive(pgconn: Any) -> None:
    """Have the kernel ask whether the server is there, as often as is usual here unless it is said how often."""
    given = {option.keyword.decode(): option.val for option in pgconn.info}
    with socket.socket(fileno=os.dup(pgconn.socket)) as end:
        if end.family == socket.AF_UNIX or given.get("keepalives") == b"0":
            return
        for name, (option, value) in _KEEPALIVES.items():
            if given.get(name) is None:
                end.setsockopt(socket.IPPROTO_TCP, option, value)

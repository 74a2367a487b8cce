"""What a server can do of what is used here, looked up when a session begins.

PostgreSQL can do all of it for a superuser, and most of it for anybody. CockroachDB, YugabyteDB and other servers
that speak its protocol lack some. What replaces what is in ``docs/postgresql.md``.
"""

from __future__ import annotations

import re
from typing import Any

import attrs

from spgrepl.postgresql import driver

_VERSION = re.compile(r"(?P<name>PostgreSQL|CockroachDB|YugabyteDB)\D*(?P<version>[\d.]+)")
_BY_BYTES = "SELECT 1 WHERE 'B' < 'a' AND 'a-b' < 'aa' AND 'z' < 'ä' AND 'ß' < 'ä' AND 'ü' < 'Б' AND 'Я' < 'а'"
_USUAL_LETTERS = (
    "SELECT 1 WHERE lower('ABCDEFGHIJKLMNOPQRSTUVWXYZ') = 'abcdefghijklmnopqrstuvwxyz' "
    "AND upper('abcdefghijklmnopqrstuvwxyz') = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
)
_YUGABYTE = re.compile(r"-YB-([\d.]+)")


@attrs.frozen
class Features:
    """What a server, and this user of it, can do.

    Attributes:
        name: What the server is: ``PostgreSQL``, ``CockroachDB``, ``YugabyteDB``, ``Citus``.
        version: Its version, as it writes it.
        advisory_locks: Whether a lock by a number is really taken. Without: a leased row.
        origins: Whether commits can carry a replication origin. Without: they carry none.
        replica_role: Whether ``session_replication_role`` may be set, so that triggers and foreign keys do not
            act on rows that have been through them. Without: they do, and rows keep the order of the log.
        row_versions: Whether ``xmin`` tells that a row of the catalogue was changed. Without: that a table was
            changed is noticed when a row does not fit it, and at the next start.
        byte_order: Whether this database orders texts by their bytes. Without: statements of an SPG server's log
            that order texts are refused.
        usual_letters: Whether the capital letters of ASCII are what they are in all other databases: in Turkish
            they are not. Without: statements that tell letters apart are refused.
        binary_copy: Whether COPY is given rows in binary, where their types are plain. Without: as lines.
        in_public: Whether tables are made in the schema ``public``. Without: that schema of an SPG server's log is
            the one where they are.
        reads: Whether it shows how it reads a statement, as PostgreSQL 14 and later do, and the database has the
            encoding UTF8. Without: statements of an
            SPG server's log that are not plain are refused.
    """

    name: str
    version: str
    advisory_locks: bool
    origins: bool
    replica_role: bool
    row_versions: bool = True
    byte_order: bool = True
    usual_letters: bool = True
    binary_copy: bool = True
    in_public: bool = True
    reads: bool = True

    @property
    def absent(self) -> tuple[str, ...]:
        """What is missing, and what is done instead, for the log and the status."""
        found = []
        if not self.advisory_locks:
            found.append("advisory locks (a leased row keeps a second process away)")
        if not self.origins:
            found.append("replication origins (commits carry none)")
        if not self.replica_role:
            found.append("session_replication_role (triggers and foreign keys act on arriving rows)")
        if not self.row_versions:
            found.append("versions of rows in the catalogue (that a table was changed is noticed later)")
        if not self.reads:
            found.append(
                "a way to see how it reads a statement, or UTF8 (of an SPG server's log only plain ones run)"
            )
        return tuple(found)

    def as_values(self) -> dict[str, object]:
        """What the status shows."""
        return {"name": self.name, "version": self.version, "absent": list(self.absent)}


def detect(connection: Any) -> Features:
    """Look what a server can do. Nothing in it is changed.

    Args:
        connection: A connection in autocommit mode, without a transaction.
    """
    text = str(connection.execute("SELECT version()").fetchone()[0])
    found = _VERSION.search(text)
    name, version = (found["name"], found["version"]) if found else (text.partition(" ")[0], "")
    yugabyte = _YUGABYTE.search(text)
    if yugabyte is not None:
        name, version = "YugabyteDB", yugabyte[1]
    elif name == "PostgreSQL" and _tried(connection, "SELECT 1 FROM pg_extension WHERE extname = 'citus'"):
        name = "Citus"
    is_cockroach = name == "CockroachDB"
    return Features(
        name,
        version,
        # CockroachDB has the functions, and they do nothing.
        advisory_locks=not is_cockroach
        and _tried(connection, "SELECT pg_try_advisory_lock(-1), pg_advisory_unlock(-1)"),
        origins=not is_cockroach
        and _tried(
            connection,
            "SELECT 1 WHERE current_setting('max_replication_slots')::int > 0 AND (SELECT "
            "bool_and(has_function_privilege('pg_catalog.pg_replication_origin_' || f, 'EXECUTE')) FROM unnest("
            "ARRAY['create(text)', 'oid(text)', 'session_setup(text)', 'xact_setup(pg_lsn, timestamptz)']) f)",
        ),
        replica_role=_tried(connection, "SET session_replication_role = replica; RESET session_replication_role"),
        row_versions=_tried(connection, "SELECT xmin FROM pg_catalog.pg_attribute LIMIT 1"),
        # YugabyteDB makes nothing in a transaction with rows.
        reads=name in ("PostgreSQL", "Citus")
        and _tried(connection, "SELECT 1 FROM pg_catalog.pg_attribute WHERE attname = 'prosqlbody'")
        and _tried(connection, "SELECT 1 WHERE current_setting('server_encoding') = 'UTF8'"),
        byte_order=_tried(connection, _BY_BYTES),
        usual_letters=_tried(connection, _USUAL_LETTERS),
        in_public=_tried(connection, "SELECT 1 WHERE current_schema() = 'public'"),
        # Of others than PostgreSQL's own code that is not known for each of their types.
        binary_copy=name in ("PostgreSQL", "YugabyteDB", "Citus"),
    )


def _tried(connection: Any, query: str) -> bool:
    """Whether a query is accepted, and has a row where it has rows."""
    psycopg = driver.load()
    try:
        cursor = connection.execute(query)
    except psycopg.OperationalError:
        if connection.closed:
            raise
        return False
    except psycopg.Error:
        return False
    return cursor.description is None or cursor.fetchone() is not None

"""What a snapshot that was received holds, and what makes room for its tables in a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw

from spgrepl.errors import ConfigurationError, SnapshotError, TableMismatch
from spgrepl.postgresql import driver, own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.copying.source_schema import SchemaObject, objects_of
from spgrepl.postgresql.faults import Fault, judge, said
from spgrepl.postgresql.names import quoted
from spgrepl.postgresql.tables import read_table
from spgrepl.postgresql.triggers import in_the_way
from spgrepl.sqlite.row_mark import rows_begin
from spgrepl.sqlite.session import plain_connection


def look_at(path: Path) -> tuple[list[SchemaObject], list[str], bool]:
    """What a snapshot holds: its schema, its ordinary tables, and whether its log holds rows.

    Raises:
        SnapshotError: It cannot be read.
    """
    if path.stat().st_size == 0:
        return [], [], False
    try:
        with contextlib.closing(plain_connection(path, immutable=True)) as snapshot:
            objects = objects_of(snapshot)
            kinds = dict(snapshot.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'"))
            tables = [one.name for one in objects if one.kind == "table" and kinds.get(one.name) == "table"]
            return objects, tables, rows_begin(snapshot) is not None
    except apsw.Error as error:
        raise SnapshotError(f"the master's snapshot cannot be read: {error}") from error


def drop_copy(connection: Any, address: ServerAddress, tables: list[str]) -> None:
    """Drop the tables of the copy before, all at once: they may refer to each other.

    Args:
        connection: The server, in a transaction.
        address: The server, for messages.
        tables: Their names.

    Raises:
        ConfigurationError: Something else depends on them.
    """
    psycopg = driver.load()
    for table in tables:
        own_schema.note_columns(connection, table, {})
    if not tables:
        return
    try:
        connection.execute(f"DROP TABLE IF EXISTS {', '.join(map(quoted, tables))}")
    except psycopg.Error as error:
        if judge(error, connection) is not Fault.REFUSED:
            raise
        raise ConfigurationError(
            f"the copy in {address} cannot be replaced by a fresh one: {said(error)}; drop what depends on its "
            f"tables"
        ) from error


def refuse_acting_tables(connection: Any, address: ServerAddress, tables: Iterable[str]) -> None:
    """Let no trigger or rule of others act on rows of a copy that goes into a table that is there.

    Args:
        connection: The server, without the copy before.
        address: Its address, for errors.
        tables: The tables of the copy.

    Raises:
        TableMismatch: One would.
    """
    for name in tables:
        present = read_table(connection, name)
        acting = present.acting if present is not None else ()
        reason = in_the_way(acting, True) or in_the_way(acting, False)
        if reason is not None:
            raise TableMismatch(f"the table {name} of the master is in {address} already: {reason}")

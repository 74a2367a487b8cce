"""Rows of an SPG snapshot that are in cold segments, of a copy that is in a server of PostgreSQL's protocol.

The table ``spgrepl.cold`` lists the rows that are missing still; ``spgrepl.cold_source`` has what is needed to
read them. Both exist as long as there are any, and are changed in the transaction that puts rows in.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw
from zope.interface import implementer

from spgrepl.engines import cold_rows
from spgrepl.engines.cold_rows import CREATE_PENDING, PENDING, IColdRows, describe_missing
from spgrepl.engines.left_out_rows import LeftOutNotes, left_out_of
from spgrepl.errors import CopyRefused, SnapshotError
from spgrepl.postgresql.copying.snapshot_copy import SnapshotCopy
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.transactions import Transactor
from spgrepl.spg.cold import NAMED
from spgrepl.spg.to_sqlite import COLUMNS_TABLE, CREATE_COLUMNS, CREATE_OBJECTS, OBJECTS_TABLE
from spgrepl.sqlite.session import plain_connection
from spgrepl.text.sqltext import quote_name

_DROP = f"DROP TABLE IF EXISTS {SCHEMA}.cold, {SCHEMA}.cold_source"
_MAKE = (
    f"CREATE TABLE {SCHEMA}.cold (segment bigint, table_name text, key bigint, "
    f"PRIMARY KEY (segment, table_name, key)); "
    f"CREATE TABLE {SCHEMA}.cold_source (tables text NOT NULL)"
)
_THERE = f"SELECT to_regclass('{SCHEMA}.cold') IS NOT NULL"
_FILL = f"COPY {SCHEMA}.cold FROM STDIN"
_OF_TABLES = f"SELECT table_name, count(*) FROM {SCHEMA}.cold GROUP BY 1 ORDER BY 1"
_COUNTED = f"SELECT table_name, count(*), min(key) FROM {SCHEMA}.cold GROUP BY 1 ORDER BY 1"
_NAMED = f"SELECT key, segment FROM {SCHEMA}.cold WHERE table_name = %s ORDER BY 2, 1 LIMIT {NAMED}"


@implementer(IColdRows)
class ServerColdRows:
    """See `IColdRows`.

    Args:
        server: The copy's connection, and its transactions.

    Attributes:
        left_out: The rows that the copy does without.
    """

    def __init__(self, server: Transactor) -> None:
        self._server = server
        self._pending = False
        self.left_out = LeftOutNotes(server=True)

    def look(self, connection: Any) -> None:
        """Look whether rows are missing."""
        self._pending = bool(connection.execute(_THERE).fetchone()[0])
        self.left_out.look(connection)

    def note(self, connection: Any, path: Path) -> None:
        """Write down, in the open transaction, which rows a snapshot lacks that is put in."""
        connection.execute(_DROP)
        self.left_out.note(connection, ())
        if path.stat().st_size == 0:
            return
        with contextlib.closing(plain_connection(path, immutable=True)) as snapshot:
            if not cold_rows.pending(snapshot):
                return
            connection.execute(_MAKE)
            with connection.cursor().copy(_FILL) as copy:
                for row in snapshot.execute(f"SELECT segment, table_name, key FROM {PENDING}"):
                    copy.write_row(row)
            tables = snapshot.execute(f"SELECT DISTINCT table_name FROM {PENDING}").fetchall()
            kept = {str(table): _kept(snapshot, str(table)) for (table,) in tables}
            source = snapshot.execute(f"SELECT * FROM {OBJECTS_TABLE} WHERE kind = 'source'").fetchall()
        text = json.dumps({"source": source, "tables": kept})
        connection.execute(f"INSERT INTO {SCHEMA}.cold_source VALUES (%s)", (text,))

    def cold_rows_pending(self) -> bool:
        """See `IColdRows`."""
        return self._pending

    def settle_cold_rows(self, segments: Mapping[int, Path]) -> str | None:
        """See `IColdRows`. One transaction for each segment."""
        missing = self._server.transact(_missing) if self._pending else None
        for segment in missing.keys() & segments.keys() if missing is not None else ():
            path = segments[segment]
            self._server.transact(lambda connection, one=segment, at=path: self._settle(connection, one, at))  # type: ignore[misc]
        described = self._server.transact(_described) if missing is not None else None
        self._pending = described is not None
        return described

    def forgo_cold_rows(self) -> None:
        """See `IColdRows`."""
        if self._pending:
            self._server.transact(self._give_up)
            self.left_out.committed()
        self._pending = False

    def _give_up(self, connection: Any) -> None:
        self.left_out.note(connection, left_out_of(connection.execute(_COUNTED).fetchall()))
        connection.execute(_DROP)

    def _settle(self, connection: Any, segment: int, path: Path) -> None:
        rows = connection.execute(f"SELECT table_name, key FROM {SCHEMA}.cold WHERE segment = %s", (segment,))
        keys = rows.fetchall()
        (text,) = connection.execute(f"SELECT tables FROM {SCHEMA}.cold_source").fetchone()
        # A database without a name: SQLite puts it on the disk where it does not fit into memory.
        with contextlib.closing(apsw.Connection("")) as between:
            _make(between, json.loads(text))
            between.executemany(
                f"INSERT INTO {PENDING} VALUES (?, ?, ?)", ((segment, table, key) for table, key in keys)
            )
            try:
                cold_rows.settle(between, {segment: path})
                copying = SnapshotCopy(connection, self._server.address, path, self._server.session.features)
                copying.append(between, sorted({str(table) for table, _ in keys}))
            except (apsw.ConstraintError, CopyRefused) as error:
                raise SnapshotError(
                    f"a row of the cold segment {segment} does not fit its table: {error}"
                ) from error
        self._server.renew(connection)
        connection.execute(f"DELETE FROM {SCHEMA}.cold WHERE segment = %s", (segment,))


def _kept(snapshot: apsw.Connection, table: str) -> list[Any]:
    create = snapshot.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).get
    columns = snapshot.execute(f"SELECT * FROM {COLUMNS_TABLE} WHERE table_name = ?", (table,)).fetchall()
    return [create, columns]


def _make(between: apsw.Connection, kept: Mapping[str, Any]) -> None:
    """The tables of a snapshot that lack rows, without any."""
    for statement in (CREATE_PENDING, CREATE_COLUMNS, CREATE_OBJECTS):
        between.execute(statement)
    between.executemany(f"INSERT INTO {OBJECTS_TABLE} VALUES (?, ?, ?)", kept["source"])
    for create, columns in kept["tables"].values():
        between.execute(create)
        marks = ", ".join("?" * len(columns[0]))
        between.executemany(f"INSERT INTO {quote_name(COLUMNS_TABLE)} VALUES ({marks})", columns)


def _missing(connection: Any) -> dict[int, int]:
    """How many rows are missing, by segment."""
    query = f"SELECT segment, count(*) FROM {SCHEMA}.cold GROUP BY 1"
    return {int(segment): int(count) for segment, count in connection.execute(query).fetchall()}


def _described(connection: Any) -> str | None:
    counts = connection.execute(_OF_TABLES).fetchall()
    if not counts:
        connection.execute(_DROP)
        return None
    return describe_missing(
        (table, count, connection.execute(_NAMED, (table,)).fetchall()) for table, count in counts
    )

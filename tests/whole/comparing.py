"""Everything that a database file holds, read by Python's own sqlite3: the second opinion on two copies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import apsw

from spgrepl.text.sqltext import quote_name


def dump(database: Path, tables: Iterable[str] | None = None) -> dict[str, object]:
    """Read the schema and all rows of a database, with row ids and types, bit for bit.

    Args:
        database: The file.
        tables: Which tables; all, the schema and the numbers in the header too, where it is not said.
    """
    with closing(_opinion(database)) as connection:
        # Text need not be UTF-8.
        connection.text_factory = bytes
        found: dict[str, object] = {}
        schema = connection.execute(
            "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_master "
            "WHERE name NOT LIKE 'spgrepl%' AND tbl_name NOT LIKE 'spgrepl%' ORDER BY 1, 2"
        ).fetchall()
        wanted = None if tables is None else set(tables)
        if wanted is None:
            found["schema"] = schema
            for pragma in ("user_version", "application_id"):
                found[pragma] = connection.execute(f"PRAGMA {pragma}").fetchone()
        for kind, encoded, sql in schema:
            name = encoded.decode()
            is_virtual = sql is not None and sql.upper().startswith(b"CREATE VIRTUAL")
            if kind == b"table" and not is_virtual and (wanted is None or name in wanted):
                found[name] = rows_of(connection, name)
        return found


def _opinion(database: Path) -> sqlite3.Connection:
    """Open a copy of a database.

    The file itself is open in this process by APSW's SQLite, of whose locks the standard library's knows nothing:
    it would drop them when it closes the file.
    """
    copied = apsw.Connection(":memory:")
    with closing(apsw.Connection(str(database))) as source, copied.backup("main", source, "main") as backup:
        backup.step()
    connection = sqlite3.connect(":memory:")
    # The journal mode in the header: a database in memory cannot have WAL mode.
    content = bytearray(copied.serialize("main"))
    content[18:20] = b"\1\1"
    connection.deserialize(bytes(content))
    return connection


def rows_of(connection: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    """All rows of a table, with the type of each value.

    With their row ids too, where nothing else names them. Those beside a primary key are each node's own, as are
    the places of rows in the tables that SQLite itself keeps, and the statistics of spgrepl's own tables.
    """
    if table == "sqlite_stat4":
        return []  # its samples hold row ids
    quoted = quote_name(table)
    columns = connection.execute(f"PRAGMA table_xinfo({quoted})").fetchall()
    names = [quote_name(row[1].decode()) for row in columns]
    wanted = [part for name in names for part in (f"typeof({name})", name)]
    where = " WHERE tbl NOT LIKE 'spgrepl%'" if table.startswith("sqlite_stat") else ""
    if not where and table != "sqlite_sequence" and not any(row[5] for row in columns):
        taken = {row[1].lower() for row in columns}
        wanted[:0] = [name for name in ("rowid", "_rowid_", "oid") if name.encode() not in taken][:1]
    return sorted(connection.execute(f"SELECT {', '.join(wanted)} FROM {quoted}{where}").fetchall(), key=repr)

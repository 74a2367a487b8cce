"""From where on a log holds rows: a record that says so, and the table in a database that remembers it.

The text of a row, such as ``DELETE FROM t WHERE id=7``, may just as well be a statement that somebody wrote, which
may meet no row at all, or fire triggers. So it stands for a row only after this record. It is the first one of a
new log, and the first one that is written when a database of an earlier version is opened. Its text is a comment:
readers that know nothing of it do nothing.
"""

from __future__ import annotations

from spgrepl.sqlite.any_connection import SqlConnection

ROWS_FROM_HERE = b"/* spgrepl: rows from here on */"
"""The SQL of the record after which a log holds rows."""

_CREATE = (
    "CREATE TABLE IF NOT EXISTS spgrepl_rows (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL)"
)
_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_rows'"


def rows_begin(connection: SqlConnection) -> int | None:
    """Read from where on the log that a database stands in holds rows.

    Args:
        connection: The database: a primary's, a follower's copy, or a snapshot.

    Returns:
        The position of the mark in the primary's log, in bytes; 0 where the log begins with it. None where the
        log holds statements, as far as the database has come.
    """
    if connection.execute(_THERE).fetchone() is None:
        return None
    row = connection.execute("SELECT position FROM spgrepl_rows").fetchone()
    return None if row is None else int(row[0])


def rows_follow(connection: SqlConnection, base: int) -> None:
    """Write down that a copy's own log, which begins at a position of its master's, begins with rows.

    The position that a snapshot states belongs to the log of the primary, which need not be the master. Nothing
    happens where the snapshot comes from a log of statements.
    """
    if rows_begin(connection) is not None:
        connection.execute("UPDATE spgrepl_rows SET position = min(position, ?)", (base,))


def rows_move(connection: SqlConnection, position: int) -> None:
    """Write down, in the open transaction, where rows begin in a log that counts in another way now."""
    connection.execute("UPDATE spgrepl_rows SET position = ?", (position,))


def forget_rows(connection: SqlConnection) -> None:
    """Write down, in the open transaction, that the log does not say yet that it holds rows: it is a new one."""
    if rows_begin(connection) is not None:
        connection.execute("DELETE FROM spgrepl_rows")


def note_rows(connection: SqlConnection, position: int) -> None:
    """Write down, in the open transaction, that rows begin; what was written down before stays.

    Args:
        connection: The database.
        position: The position of the mark, in bytes.
    """
    connection.execute(_CREATE)
    connection.execute("INSERT OR IGNORE INTO spgrepl_rows VALUES (1, ?)", (position,))


# -- whose rows they are --------------------------------------------------------------------------------------

_CREATE_ORIGIN = (
    "CREATE TABLE IF NOT EXISTS spgrepl_origin (id INTEGER PRIMARY KEY CHECK (id = 1), cluster TEXT NOT NULL)"
)
_ORIGIN_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_origin'"


def origin_of_rows(connection: SqlConnection) -> int | None:
    """Read the cluster id of the primary whose database this is, or is a copy of.

    Returns:
        The id; None for databases of earlier versions.
    """
    if connection.execute(_ORIGIN_THERE).fetchone() is None:
        return None
    row = connection.execute("SELECT cluster FROM spgrepl_origin").fetchone()
    return None if row is None else int(row[0], 16)


def note_origin(connection: SqlConnection, cluster_id: int) -> None:
    """Write down, in the open transaction, whose database it is: copies keep that, at whatever distance."""
    connection.execute(_CREATE_ORIGIN)
    connection.execute("INSERT OR REPLACE INTO spgrepl_origin VALUES (1, ?)", (f"{cluster_id:016x}",))

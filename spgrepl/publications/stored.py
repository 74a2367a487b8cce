"""Reading the publications that a SQLite database holds: a primary's, a follower's copy or a snapshot."""

from __future__ import annotations

import json
import sqlite3

from spgrepl.errors import LocalFilesDamaged
from spgrepl.publications.definitions import Publications
from spgrepl.publications.statements import CreatePublication, Scope

_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_publications'"
_READ = "SELECT name, scope, tables FROM spgrepl_publications ORDER BY name"


def read_publications(connection: sqlite3.Connection) -> Publications:
    """Read the catalogue's publications as they are now.

    Args:
        connection: The database; a transaction may be open.

    Returns:
        The publications; none where the database has no catalogue.

    Raises:
        LocalFilesDamaged: A row of the catalogue is not one that spgrepl writes.
        sqlite3.Error: The database cannot be read.
    """
    if connection.execute(_THERE).fetchone() is None:
        return Publications()
    found = {}
    for name, scope, tables in connection.execute(_READ):
        try:
            listed = json.loads(tables)
            if not isinstance(listed, list) or not all(isinstance(table, str) for table in listed):
                raise TypeError(f"tables {tables!r}")
            found[name] = CreatePublication(name, Scope(scope), tuple(listed))
        except (ValueError, TypeError) as error:
            raise LocalFilesDamaged(
                f"the publication {name!r} in the table spgrepl_publications cannot be read ({error}); restore "
                f"the table, or drop the publication and create it again"
            ) from error
    return Publications(found)

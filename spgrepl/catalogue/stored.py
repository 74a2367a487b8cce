"""Reading the publications that a SQLite database holds: a primary's, a follower's copy or a snapshot."""

from __future__ import annotations

import json

from spgrepl.catalogue.definitions import Publications
from spgrepl.catalogue.statements import CreatePublication, Scope
from spgrepl.errors import LocalFilesDamaged
from spgrepl.sqlite.any_connection import SqlConnection

_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_publications'"
_READ = "SELECT name, scope, tables FROM spgrepl_publications ORDER BY name"


def read_publications(connection: SqlConnection) -> Publications:
    """Read the catalogue's publications as they are now.

    Args:
        connection: The database; a transaction may be open.

    Returns:
        The publications; none where the database has no catalogue.

    Raises:
        LocalFilesDamaged: A row of the catalogue is not one that spgrepl writes.
        apsw.Error, sqlite3.Error: The database cannot be read, by the connection's module.
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

"""Databases that no primary may write: their rows come from elsewhere."""

from __future__ import annotations

from pathlib import Path

from spgrepl.errors import ConfigurationError
from spgrepl.sqlite import state as sqlite_state
from spgrepl.sqlite.any_connection import SqlConnection


def refuse_other_roles(
    database: Path, stored: sqlite_state.StoredState | None, connection: SqlConnection | None
) -> None:
    """Refuse a follower's copy, and a database that is not a primary's yet and has a subscriber.

    Args:
        database: The database.
        stored: What it says of itself; None where it says nothing.
        connection: The database, where it is there.

    Raises:
        ConfigurationError: It is one of these.
    """
    if stored is not None:
        if stored.role != sqlite_state.ROLE_PRIMARY:
            raise ConfigurationError(
                f"{database} is a follower's copy, whose rows come from its master: write there, or copy the file "
                f"and drop the table spgrepl_replay in the copy to make a database of its own"
            )
        return
    names = [] if connection is None else sqlite_state.subscription_names(connection)
    if names:
        raise ConfigurationError(
            f"{database} is written by the subscriber of {', '.join(map(repr, names))}, whose rows stand in no "
            f"log, so that copies would not get them: name another file. To make it a database of its own, stop "
            f"the subscriber and delete the subscription's row in the table spgrepl_subscriber"
        )

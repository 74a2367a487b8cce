"""Which engine keeps the copy that a log belongs to: whoever opens the files with another one is refused by name.

A copy in PostgreSQL, an archive and a copy that is only counted have a log and files beside it as any other, and
no database in SQLite. Taken for a primary's, their log would get a database that does not hold its rows.
"""

from __future__ import annotations

import json

from spgrepl.base.small_files import read_regular
from spgrepl.disk.files import DatabasePaths
from spgrepl.errors import ConfigurationError, LocalFilesDamaged
from spgrepl.pairs.pair import read_pair

SQLITE = "sqlite"
"""The engine whose copy is a database that everybody can open."""

_WORDS = {
    "postgresql": "a copy in PostgreSQL",
    "archive": "an archive, which keeps a snapshot and applies nothing",
    "counting": "a copy whose statements are only counted",
    SQLITE: "a copy in SQLite",
}
_NUMBERS = {"digest": "counting", "snapshot_length": "archive"}
"""What only one engine keeps in its state, by which files are known that do not name it."""


def engine_of_copy(paths: DatabasePaths) -> str | None:
    """The engine that keeps the copy which a log belongs to.

    Args:
        paths: The log, and the database that it is taken for.

    Returns:
        Its name; None where the log is a primary's, or nothing tells, as beside a log of an earlier version. What
        is damaged tells nothing: who uses it says so.
    """
    try:
        pair = read_pair(paths.pair)
    except (LocalFilesDamaged, OSError):
        return None
    if pair is not None and pair.copied_by is not None:
        return pair.copied_by
    try:
        state = json.loads(read_regular(paths.engine_state))
        if pair is None or pair.id == state["pair"]:
            return next((engine for name, engine in _NUMBERS.items() if name in state), None)
    except (LocalFilesDamaged, OSError, ValueError, KeyError, TypeError):
        return None
    return None


def refuse_copy_of_another_engine(paths: DatabasePaths, engine: str = SQLITE) -> None:
    """See that a log does not belong to a copy that another engine keeps; nothing is made or changed.

    Args:
        paths: The log, and the database that it is taken for.
        engine: Who is about to open them.

    Raises:
        ConfigurationError: It does; the message says whose it is, and what to do.
    """
    found = engine_of_copy(paths)
    # A copy in SQLite is a database: what may be done with it says the database itself.
    if found is None or found in (engine, SQLITE):
        return
    what = _WORDS.get(found, f"a copy of the engine {found}")
    raise ConfigurationError(
        f"{paths.wal} is the log of {what}: it does not belong to a database {paths.database}. Nothing was made "
        f"or changed. Such a copy is not a primary, and cannot become one: start it as before, with its --engine, "
        f"or name another database with --db"
    )

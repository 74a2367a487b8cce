"""What an SPG server does beside its statements when rows change, as its snapshot says it: noted for its log.

None of it is in the log, and none is made here but defaults. A statement that leaves something to it is judged by
what is noted.
"""

from __future__ import annotations

from typing import Any

import apsw

from spgrepl.postgresql.tables import DEFAULT, GENERATED, OF_TABLE, ON_UPDATE, ROUNDED
from spgrepl.spgsql.typed.defaults import RUNTIME
from spgrepl.spgsql.typed.schema import Schema


def spg_effects(snapshot: apsw.Connection, table: str) -> dict[str, dict[str, str]]:
    """What the master does by itself to rows of a table.

    Args:
        snapshot: The database that was made of its snapshot.
        table: The table.

    Returns:
        For columns, by name, what sets them: `GENERATED`, `ON_UPDATE`, `DEFAULT` and `ROUNDED`. Under
        `OF_TABLE` what else happens, by the statement at which it does.
    """
    info = Schema(snapshot).table(table)
    found: dict[str, dict[str, str]] = {}
    for hazard in info.hazards:
        for event in sorted(hazard.events):
            found.setdefault(OF_TABLE, {}).setdefault(event, hazard.what)
    for column in info.columns:
        for detail, kind in (("generated", GENERATED), ("on_update", ON_UPDATE), (RUNTIME, DEFAULT)):
            sql: Any = column.details.get(detail)
            if sql is not None:
                found.setdefault(column.name, {})[kind] = str(sql)
        if column.type is not None and " USING " in column.type.label:
            found.setdefault(column.name, {})[ROUNDED] = column.type.label
    return found

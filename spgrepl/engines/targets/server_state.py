"""What a server stores of its subscriptions: position, fence, what was put aside, what copied tables look like."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from spgrepl.engines.targets.stored_state import history_values, state_of_row
from spgrepl.errors import TableMismatch
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.postgresql import own_schema
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.names import SCHEMA
from spgrepl.postgresql.tables import read_table
from spgrepl.text.role_log import RoleLogger

_READ = f"SELECT position, effective_start, publications, history FROM {SCHEMA}.subscriptions WHERE name = %s"
_BEGIN = (
    f"INSERT INTO {SCHEMA}.subscriptions VALUES (%s, %s, %s, %s, %s) ON CONFLICT (name) DO UPDATE SET "
    f"position = excluded.position, effective_start = excluded.effective_start, "
    f"publications = excluded.publications, history = excluded.history"
)
_MOVE = (
    f"UPDATE {SCHEMA}.subscriptions SET position = %s, effective_start = %s, publications = %s, history = %s "
    f"WHERE name = %s AND position = %s"
)
_KEEP = (
    f"INSERT INTO {SCHEMA}.skipped (subscription, position, crc, record, sql, reason) "
    f"VALUES (%s, %s, %s, %s, %s, %s)"
)
_COUNTS = "approximated"
_log = RoleLogger()


def read_subscription(connection: Any, name: str) -> SubscriptionState | None:
    """Read a subscription's row; None where it has none.

    Raises:
        LocalFilesDamaged: The row is not one that spgrepl writes.
    """
    row = connection.execute(_READ, (name,)).fetchone()
    return None if row is None else state_of_row(name, row)


def begin_subscription(connection: Any, name: str, state: SubscriptionState) -> None:
    """Write a subscription's first row, in the open transaction."""
    connection.execute(_BEGIN, (name, *_columns(state, ())))


def read_counts(connection: Any, name: str) -> list[list[Any]]:
    """What was approximated for a subscription, as `move_subscription` stored it."""
    row = connection.execute(_READ, (name,)).fetchone()
    known = {} if row is None else json.loads(row[3])
    return list(known.get(_COUNTS, ())) if isinstance(known, dict) else []


def move_subscription(
    connection: Any, name: str, known: SubscriptionState, state: SubscriptionState, counts: Sequence[object] = ()
) -> bool:
    """Write a subscription's row, in the open transaction.

    Args:
        connection: The server.
        name: The subscription.
        known: What its row holds.
        state: What is to stand there.
        counts: What was approximated; see `SpgLog.counts`.

    Returns:
        Whether the row was there and stood where it was known to; if not, nothing was written.
    """
    cursor = connection.execute(_MOVE, (*_columns(state, counts), name, known.position), prepare=True)
    return bool(cursor.rowcount == 1)


def _columns(state: SubscriptionState, counts: Sequence[object]) -> tuple[int, int, str, str]:
    return (
        state.position,
        state.effective_start,
        json.dumps(state.publications),
        json.dumps(history_values(state) | ({_COUNTS: counts} if counts else {})),
    )


def keep_skipped(
    connection: Any, name: str, position: int, crc: int, record: bytes, sql: bytes, reason: str
) -> None:
    """Keep a record that was skipped, in the open transaction."""
    text = sql.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    connection.execute(_KEEP, (name, position, crc, record, text, reason.replace("\0", "")))


def check_shapes(connection: Any, name: str, address: ServerAddress, accept: bool) -> None:
    """Compare the copied tables with what they were at the copy. Columns that were added are no difference.

    Args:
        connection: A connection of psycopg.
        name: The subscription.
        address: The server, for errors.
        accept: Whether to take them as they are.

    Raises:
        TableMismatch: One is another one now.
    """
    for table, known in own_schema.copied_shapes(connection, name).items():
        found = read_table(connection, table)
        if found is None:
            continue  # rows that come for it are refused by name
        present = found.as_values()
        reason = _difference(known, present)
        if reason is None:
            continue
        if not accept:
            raise TableMismatch(
                f"the table {table} in {address} was changed since it was copied for the subscription {name!r}: "
                f"{reason}. Change it back; or, where the master's was changed alike, start once with "
                f"--accept-changed-tables"
            )
        _log.warn("the table {table} is taken as it is, as ordered: {reason}", table=table, reason=reason)
        connection.execute(
            f"UPDATE {SCHEMA}.copied SET shape = %s WHERE subscription = %s AND table_name = %s",
            (json.dumps(present), name, table),
        )


def _difference(known: dict[str, Any], present: dict[str, Any]) -> str | None:
    columns = {column[0]: column for column in present["columns"]}
    for column in known["columns"]:
        found = columns.get(column[0])
        if found is None:
            return f"it has no column {column[0]} any more"
        if found[1] != column[1] or found[3] != column[3]:
            return f"its column {column[0]} is of type {found[1]} now and was of type {column[1]}"
    if known["key"] != present["key"]:
        before, now = (", ".join(one["key"]) or "nothing" for one in (known, present))
        return f"its primary key is on {now} now and was on {before}"
    return None

"""The tables in a target that say how far its subscriptions have come, and what was skipped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import attrs

from spgrepl.base.histories import histories_of, histories_values
from spgrepl.errors import LocalFilesDamaged, PositionTooLarge
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.sqlite.state import HAS_SUBSCRIPTIONS
from spgrepl.text.sqltext import fold_ascii

_LAST_POSITION = 2**63 - 1

_TABLES = (
    "CREATE TABLE IF NOT EXISTS spgrepl_subscriber (name TEXT PRIMARY KEY, position INTEGER NOT NULL, "
    "effective_start INTEGER NOT NULL, publications TEXT NOT NULL, fence TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spgrepl_skipped (subscription TEXT NOT NULL, position INTEGER NOT NULL, "
    "crc INTEGER NOT NULL, record BLOB NOT NULL, sql TEXT NOT NULL, reason TEXT NOT NULL, "
    "skipped_at TEXT NOT NULL)",
)
_COPIED_THERE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'spgrepl_copied'"
_READ = "SELECT position, effective_start, publications, fence FROM spgrepl_subscriber WHERE name = ?"
_WRITE = "INSERT OR REPLACE INTO spgrepl_subscriber VALUES (?, ?, ?, ?, ?)"
_MOVE = (
    "UPDATE spgrepl_subscriber SET position = ?, effective_start = ?, publications = ?, fence = ? "
    "WHERE name = ? AND position = ?"
)
_COPIED = (
    "CREATE TABLE IF NOT EXISTS spgrepl_copied (subscription TEXT NOT NULL, name TEXT NOT NULL, "
    "PRIMARY KEY (subscription, name))"
)
_KEEP = "INSERT INTO spgrepl_skipped VALUES (?, ?, ?, ?, ?, ?, ?)"


def check_position(position: int) -> None:
    """Look whether a position fits into a column of SQLite.

    Raises:
        PositionTooLarge: It does not. No file is as long: the master states what cannot be.
    """
    if position > _LAST_POSITION:
        raise PositionTooLarge(
            f"the master states the position {position}, beyond {_LAST_POSITION}, the last one that SQLite can "
            f"store: no log is as long; check what this subscriber is connected to"
        )


def read_subscription(connection: SqlConnection, name: str) -> SubscriptionState | None:
    """Read a subscription's row; None where it has none.

    Raises:
        LocalFilesDamaged: The row is not one that spgrepl writes.
    """
    if connection.execute(HAS_SUBSCRIPTIONS).fetchone() is None:
        return None
    row = connection.execute(_READ, (name,)).fetchone()
    if row is None:
        return None
    return state_of_row(name, row)


def state_of_row(name: str, row: Sequence[Any]) -> SubscriptionState:
    """Read a subscription's row: position, effective start, publications and fence.

    Raises:
        LocalFilesDamaged: It is not one that spgrepl writes.
    """
    position, start, publications, fence = row
    try:
        known = json.loads(fence)
        return SubscriptionState(
            publications_of(json.loads(publications)), int(start), int(position), **history_of(known)
        )
    except (ValueError, TypeError, KeyError) as error:
        raise LocalFilesDamaged(
            f"the row of subscription {name!r} in the table spgrepl_subscriber cannot be read ({error}); restore "
            f"it, or delete it and begin the subscription again"
        ) from error


def publications_of(values: object) -> tuple[str, ...]:
    """Read names of publications as they stand in JSON.

    Raises:
        TypeError: They are something else.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"publications {values!r}")
    return tuple(values)


def fence_of(values: Iterable[Iterable[int]]) -> tuple[FenceRecord, ...]:
    """Read a fence as it stands in JSON.

    Raises:
        TypeError, ValueError: It is something else.
    """
    return tuple(FenceRecord(int(position), int(crc)) for position, crc in values)


def record_values(records: Iterable[FenceRecord]) -> list[list[int]]:
    """Records of a fence as they stand in JSON: pairs of position and CRC."""
    return [[record.position, record.crc] for record in records]


def history_values(state: SubscriptionState) -> dict[str, Any]:
    """What a state knows of its master's history, as it stands in JSON."""
    values: dict[str, Any] = {
        "fence": record_values(state.fence),
        "master": state.master,
        "diverged": state.diverged,
    }
    if state.histories:
        values["histories"] = histories_values(state.histories)
    if state.alone_to is not None:
        values["alone_to"] = state.alone_to
    if state.marks:
        values["marks"] = record_values(state.marks)
    if state.before_copy is not None:
        values["before_copy"] = list(attrs.astuple(state.before_copy))
    return values


def history_of(values: Any) -> dict[str, Any]:
    """Read what a state knows of its master's history, as arguments of `SubscriptionState`.

    Raises:
        TypeError, ValueError, KeyError: It is something else.
    """
    if isinstance(values, list):  # as earlier versions wrote it, which knew a fence alone
        return {"fence": fence_of(values)}
    master, alone_to, before = values["master"], values.get("alone_to"), values.get("before_copy")
    return {
        "fence": fence_of(values["fence"]),
        "master": None if master is None else int(master),
        "diverged": values["diverged"],
        "histories": histories_of(values.get("histories", ())),
        "alone_to": None if alone_to is None else int(alone_to),
        "marks": fence_of(values.get("marks", ())),
        "before_copy": None if before is None else Mark(*map(int, before)),
    }


def begin_subscription(connection: SqlConnection, name: str, state: SubscriptionState) -> None:
    """Write a subscription's first row, and make the tables where they are missing, in the open transaction."""
    for table in _TABLES:
        connection.execute(table)
    connection.execute(_WRITE, (name, *_columns(state)))


def move_subscription(
    connection: SqlConnection, name: str, known: SubscriptionState, state: SubscriptionState
) -> bool:
    """Write a subscription's row, in the open transaction.

    Args:
        connection: The target.
        name: The subscription.
        known: The state that its row is known to have.
        state: The new one.

    Returns:
        Whether the row was there and stood where it was known to; if not, nothing was written.
    """
    connection.execute(_MOVE, (*_columns(state), name, known.position))
    return bool(connection.execute("SELECT changes()").fetchone()[0] == 1)


def _columns(state: SubscriptionState) -> tuple[int, int, str, str]:
    check_position(max(state.position, state.effective_start))
    return (
        state.position,
        state.effective_start,
        json.dumps(state.publications),
        json.dumps(history_values(state)),
    )


def note_copied(connection: SqlConnection, name: str, tables: Iterable[str]) -> None:
    """Write down, in the open transaction, which tables' rows come from a copy that may have to be made again."""
    connection.execute(_COPIED)
    connection.execute("DELETE FROM spgrepl_copied WHERE subscription = ?", (name,))
    for table in tables:
        connection.execute("INSERT INTO spgrepl_copied VALUES (?, ?)", (name, table))


def replaceable_tables(connection: SqlConnection, name: str) -> frozenset[str]:
    """The tables whose rows a new copy may replace, in lower case: a copy put them there, and nothing came since.

    Only the copy of an empty log, at position 0, may have to be made again; see `spgrepl.errors.StartLost`.
    """
    known = read_subscription(connection, name)
    if known is None or known.position or connection.execute(_COPIED_THERE).fetchone() is None:
        return frozenset()
    found = connection.execute("SELECT name FROM spgrepl_copied WHERE subscription = ?", (name,))
    return frozenset(fold_ascii(str(table)) for (table,) in found)


def keep_skipped(
    connection: SqlConnection, name: str, position: int, record: bytes, sql: bytes, reason: str
) -> None:
    """Keep a record that was skipped, in the open transaction. Its CRC is that of all its bytes."""
    check_position(position)
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    row = (name, position, crc32(record), record, sql.decode("utf-8", "replace"), reason, now)
    connection.execute(_KEEP, row)

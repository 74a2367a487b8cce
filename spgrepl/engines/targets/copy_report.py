"""What every target does about an initial copy: the snapshot is judged first, and in the end it is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spgrepl.engines.left_out_rows import LeftOutRows
from spgrepl.engines.spg_snapshot import cold_tables, convert_if_spg
from spgrepl.engines.targets.initial_copy import CopyPlan, copied_triggers, plan_copy, state_at_copy
from spgrepl.engines.targets.stored_state import check_position
from spgrepl.errors import CopyRefused
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.sqlite.database_copy import inspect_snapshot
from spgrepl.sqlite.snapshot_histories import check_place
from spgrepl.text.quantities import number_of
from spgrepl.text.role_log import RoleLogger

NO_COPY = "begin without the rows that are there, with --no-copy-data"
"""What to do where a copy cannot be made."""

_log = RoleLogger()


def judge_snapshot(
    path: Path,
    publications: Sequence[str],
    position: int,
    segments: Path | None,
    before: Mark | None,
) -> tuple[CopyPlan, SubscriptionState]:
    """Look whether a snapshot can be copied from, and what of it; one of an SPG server becomes a SQLite database.

    Args:
        path: The snapshot.
        publications: The publications that are asked for; none at all means every table.
        position: The position in the master's log that it stands at.
        segments: The folder of the cold segments that came with it; None where none did.
        before: What stands before the position in the master's log; None where that is not known.

    Returns:
        What is copied, and the state that the subscription begins with.

    Raises:
        SnapshotError: It cannot be used.
    """
    check_position(position)
    if not convert_if_spg(path, NO_COPY, segments):
        inspect_snapshot(path, NO_COPY)
        check_place(path, position)
    return plan_copy(path, publications), state_at_copy(path, publications, position, before)


def judge_cold_rows(plan: CopyPlan, without: bool) -> list[LeftOutRows]:
    """Look whether rows of published tables are in cold segments that did not come.

    Args:
        plan: What is copied.
        without: Whether to do without them.

    Returns:
        What is done without.

    Raises:
        CopyRefused: There are some, and this subscription was not told to do without them.
    """
    published = {table.shape.name for table in plan.tables}
    lacking = [one for one in cold_tables(plan.path) if one.table in published]
    if not lacking:
        return []
    named = ", ".join(f"{one.rows:,} of {one.table}" for one in lacking)
    said = f"rows of published tables are in cold segments that the master did not send: {named}"
    if not without:
        raise CopyRefused(
            f"{said}. Bring the segments to the master, do without these rows (--without-cold-rows), or {NO_COPY}"
        )
    _log.warn("{said}; going on without them", said=said)
    return lacking


def report_copy(plan: CopyPlan, place: str, subscription: str) -> None:
    """Say in the log what was copied, and what of the publications was not.

    Args:
        plan: What was to be copied.
        place: Where to, as a user knows it.
        subscription: The subscription's name.
    """
    for name in plan.unknown:
        _log.warn("the master's snapshot knows no publication {name}: it adds nothing", name=name)
    for name in plan.missing:
        _log.warn("the published table {name} is not in the master's snapshot", name=name)
    triggers = copied_triggers(plan)
    if triggers:
        _log.warn(
            "triggers are not copied, and the log does not tell what they do on the master: make those here "
            "that the published tables need: {triggers}",
            triggers=", ".join(triggers),
        )
    if plan.tables:
        _log.info(
            "{count} copied to {place}: {tables}",
            count=number_of(len(plan.tables), "table was", "tables were"),
            place=place,
            tables=", ".join(table.shape.name for table in plan.tables),
        )
    else:
        _log.warn("there was nothing to copy: the subscription {name} begins empty", name=subscription)

"""What is told of an initial copy: rows that are not there, publications that are not known, what was copied."""

from __future__ import annotations

from pathlib import Path

from twisted.logger import Logger

from spgrepl.engines.spg_snapshot import cold_tables
from spgrepl.engines.targets.initial_copy import CopyPlan, copied_triggers
from spgrepl.errors import CopyRefused

NO_COPY = "begin without the rows that are there, with --no-copy-data"
"""What to do where a copy cannot be made."""

_log = Logger()


def judge_cold_rows(plan: CopyPlan, without: bool) -> None:
    """Look whether rows of published tables are in cold segments that did not come.

    Args:
        plan: What is copied.
        without: Whether to do without them.

    Raises:
        CopyRefused: There are some, and this subscription was not told to do without them.
    """
    cold = cold_tables(plan.path)
    lacking = [name for table in plan.tables if (name := table.shape.name) in cold]
    if not lacking:
        return
    named = ", ".join(f"{cold[name]:,} of {name}" for name in lacking)
    said = f"rows of published tables are in cold segments that the master did not send: {named}"
    if not without:
        raise CopyRefused(
            f"{said}. Bring the segments to the master, do without these rows (--without-cold-rows), or {NO_COPY}"
        )
    _log.warn("{said}; going on without them", said=said)


def report_copy(plan: CopyPlan, database: Path, subscription: str) -> None:
    """Say in the log what was copied, and what of the publications was not."""
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
            "{count} tables were copied to {path}: {tables}",
            count=len(plan.tables),
            path=str(database),
            tables=", ".join(table.shape.name for table in plan.tables),
        )
    else:
        _log.warn("there was nothing to copy: the subscription {name} begins empty", name=subscription)

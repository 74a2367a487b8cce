"""How a target takes the rows of a subscription."""

from __future__ import annotations

import attrs

from spgrepl.disk.limits import DEFAULT_LIMITS
from spgrepl.spgsql.replay import Nondeterministic


@attrs.frozen
class TargetOptions:
    """How a target takes rows, the same for every kind of target that holds tables.

    Attributes:
        without_cold_rows: Whether to do without rows of an SPG snapshot whose cold segments never come.
        fire_triggers: Whether the triggers of this database act when rows arrive, in a server foreign keys too.
        accept_changed_tables: Whether copied tables that were changed since are taken as they are.
        statement_seconds: How long a statement may run.
        nondeterministic: What to do about values in an SPG server's log that every replica computes for itself.
    """

    without_cold_rows: bool = False
    fire_triggers: bool = False
    accept_changed_tables: bool = False
    statement_seconds: float = DEFAULT_LIMITS.statement_seconds
    nondeterministic: Nondeterministic = Nondeterministic.STOP


DEFAULT_OPTIONS = TargetOptions()

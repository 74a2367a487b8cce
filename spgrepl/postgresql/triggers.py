"""Triggers and rules that others have put on tables here: whether they act on what replication does."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import attrs

from spgrepl.postgresql.names import quoted

# What a table consists of, and what foreign keys change together with it: recursion has one branch only.
_ACTING = """
WITH RECURSIVE reached(oid, beside) AS (
  SELECT %s::bigint::oid, FALSE
  UNION
  SELECT n.oid, r.beside OR n.beside FROM reached r
    JOIN (SELECT inhparent, inhrelid, FALSE FROM pg_inherits
          UNION ALL
          SELECT confrelid, conrelid, TRUE FROM pg_constraint
           WHERE contype = 'f' AND (confdeltype NOT IN ('a', 'r') OR confupdtype NOT IN ('a', 'r'))
         ) AS n(parent, oid, beside) ON n.parent = r.oid
)
SELECT t.tgname, c.relname, FALSE, t.tgtype::int, t.tgenabled::text, r.beside, c.oid <> %s::bigint::oid
  FROM reached r JOIN pg_class c ON c.oid = r.oid JOIN pg_trigger t ON t.tgrelid = c.oid
 WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
UNION
SELECT w.rulename, c.relname, TRUE, w.ev_type::text::int, w.ev_enabled::text, r.beside, c.oid <> %s::bigint::oid
  FROM reached r JOIN pg_class c ON c.oid = r.oid JOIN pg_rewrite w ON w.ev_class = c.oid
 WHERE w.rulename <> '_RETURN' AND w.ev_enabled <> 'D'
 ORDER BY 2, 1
"""
_BEFORE, _INSTEAD = 2, 64
_OF_TRIGGERS = {4: "INSERT", 8: "DELETE", 16: "UPDATE", 32: "TRUNCATE"}
_OF_RULES = {2: "UPDATE", 3: "INSERT", 4: "DELETE"}
_BY_KEYS = frozenset({"UPDATE", "DELETE", "TRUNCATE"})
_ALWAYS, _REPLICA, _ORIGIN = "A", "R", "O"


@attrs.frozen
class Acting:
    """A trigger or a rule.

    Attributes:
        name: Its name.
        table: Its table: that which was asked for, a part of it, or one that a foreign key changes with it.
        is_rule: Whether it is a rule.
        events: The statements on the table that was asked for at which it acts.
        enabled: The letter of ``pg_trigger.tgenabled``.
        changes: Whether it may change what becomes of a row, or of a statement: a rule, or a trigger that acts
            before the row is stored.
    """

    name: str
    table: str
    is_rule: bool
    events: frozenset[str]
    enabled: str
    changes: bool

    def acts(self, replica: bool, events: Collection[str]) -> bool:
        """Whether it acts in a session.

        Args:
            replica: Whether the session's ``session_replication_role`` is ``replica``.
            events: What is done; nothing for anything.
        """
        here = self.enabled in (_ALWAYS, _REPLICA if replica else _ORIGIN)
        return here and (not events or bool(self.events & {*events}))

    @property
    def is_meant(self) -> bool:
        """Whether somebody has said of it that it acts on rows that replication brings."""
        return self.enabled in (_ALWAYS, _REPLICA)

    def __str__(self) -> str:
        return f"the {'rule' if self.is_rule else 'trigger'} {self.name} of {self.table}"

    @property
    def disabled(self) -> str:
        """The statement that disables it."""
        kind = "RULE" if self.is_rule else "TRIGGER"
        return f"ALTER TABLE {quoted(self.table)} DISABLE {kind} {quoted(self.name)}"


def read_acting(connection: Any, oid: int) -> tuple[Acting, ...]:
    """The triggers and rules that may act when rows of a table change.

    Args:
        connection: A connection of psycopg.
        oid: The table's number.
    """
    found = connection.execute(_ACTING, (oid, oid, oid)).fetchall()
    return tuple(one for row in found if (one := _acting(*row)).events)


def _acting(name: str, table: str, is_rule: bool, kind: int, enabled: str, by_key: bool, is_part: bool) -> Acting:
    found = [_OF_RULES.get(kind, "")] if is_rule else [event for bit, event in _OF_TRIGGERS.items() if kind & bit]
    events = frozenset(found)
    if by_key:
        # Rows are changed or deleted with those that they refer to, in whichever of these ways.
        events = _BY_KEYS if events & _BY_KEYS else frozenset()
    elif is_part and events & {"INSERT", "DELETE"}:
        events |= {"UPDATE"}  # a row that moves to another part
    return Acting(name, table, is_rule, events, enabled, is_rule or bool(kind & (_BEFORE | _INSTEAD)))


def in_the_way(acting: Iterable[Acting], replica: bool, events: Collection[str] = ()) -> str | None:
    """Why rows of a copy would not be its master's; None where nothing of others acts on them.

    One that is ENABLE ALWAYS or REPLICA, and acts after the row is stored, is there to look at it.

    Args:
        acting: What there is.
        replica: Whether the session's ``session_replication_role`` is ``replica``.
        events: What is done; nothing for anything.
    """
    for one in acting:
        if one.acts(replica, events) and (one.changes or not one.is_meant):
            return (
                f"{one} here would act on rows of the copy, which are the master's: drop it, or disable it "
                f"({one.disabled}). A trigger that only looks at them is AFTER and ENABLE ALWAYS"
            )
    return None


def with_keys(acting: Iterable[Acting], events: Collection[str]) -> str | None:
    """Why a trigger would act because foreign keys have to, or would not; None where none is like that.

    Args:
        acting: What there is on a table of somebody's own.
        events: What is done.
    """
    for one in acting:
        if one.enabled != _ALWAYS and one.events & {*events}:
            return (
                f"foreign keys change rows of other tables with this statement, and {one} here rests or acts "
                f"together with them: let it act always (ENABLE ALWAYS), disable it ({one.disabled}), or let all "
                f"act (--fire-triggers)"
            )
    return None

"""Where the statements that replication itself understands (PROTOCOL section 5) meet the primary."""

from __future__ import annotations

from spgrepl.errors import StatementFailed


def refuse_control(sql: str) -> None:
    """Refuse a statement on publications, subscriptions, the WAL level or positions.

    Raises:
        StatementFailed: Always.
    """
    raise StatementFailed(
        "a primary does not understand statements on publications, subscriptions, effective_wal_level and WAL "
        "positions yet; only masters of SPG do",
        sql,
    )

"""A primary that takes no more writes: its database says so."""

from __future__ import annotations

from spgrepl.primary.parts.settings import DRAINED, store_setting
from spgrepl.primary.running.session import WriterSession


def store_drained(session: WriterSession, on: bool) -> None:
    """Write down, durably, whether the primary is drained; no transaction is open.

    Raises:
        EngineFailed: The disk refuses, or another program holds the database.
    """
    session.durable = True
    session.begin()
    try:
        store_setting(session.connection, DRAINED, on=on)
        session.commit()
    finally:
        session.rollback()

"""What an error of a server means for the transaction that met it."""

from __future__ import annotations

import enum
from typing import Any

from spgrepl.postgresql import driver


class Fault(enum.Enum):
    """Who has to do something."""

    AGAIN = "again"
    """The transaction is to be done again at once: it met another one."""

    LOST = "lost"
    """The connection is gone; whether a COMMIT took effect is not known."""

    STORAGE = "storage"
    """Nothing can be stored at present."""

    REFUSED = "refused"
    """This statement is not accepted, however often it is tried."""


_AGAIN = frozenset({"40001", "40P01"})
# Shut down, crashed, starting, terminated by an operator or for its idleness.
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
# A cancel, a lock that was waited for too long, a server that is read only for now, an object that is in use.
_STORAGE = frozenset({"57014", "55P03", "25006", "55006"})
_STORAGE_CLASSES = ("53", "58", "XX")


def judge(error: Exception, connection: Any = None) -> Fault:
    """Say what an error means.

    Args:
        error: What psycopg raised.
        connection: Its connection; None where there is none any more.
    """
    psycopg = driver.load()
    state = getattr(error, "sqlstate", None) or ""
    if state in _AGAIN:
        return Fault.AGAIN
    if state in _LOST or state.startswith("08") or (connection is not None and connection.closed):
        return Fault.LOST
    if state in _STORAGE or state.startswith(_STORAGE_CLASSES):
        return Fault.STORAGE
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Fault.LOST
    return Fault.REFUSED


def said(error: Exception) -> str:
    """What a server said, in one line: its message, detail and hint."""
    diagnosis = getattr(error, "diag", None)
    message = getattr(diagnosis, "message_primary", None)
    if message is None:
        return " ".join(str(error).split()) or type(error).__name__
    parts = [message]
    for name in ("message_detail", "message_hint"):
        more = getattr(diagnosis, name, None)
        if more:
            parts.append(more.rstrip("."))
    return " ".join("; ".join(parts).split())

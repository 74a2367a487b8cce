"""Statuses as roles tell them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from spgrepl.watch.problems import with_problems


def follower(**changed: Any) -> dict[str, Any]:
    """A follower that is well."""
    return with_problems(
        {
            "role": "follower",
            "name": "copy.db",
            "state": "streaming",
            "positions": {"source": 120, "received": 120, "durable": 110, "applied": 100},
            "lag": {"bytes": 20, "seconds": 0.25},
            "heard_seconds": 0.5,
            "status_seconds": 0.75,
            "applied_seconds": 2.0,
            "open_transactions": None,
            "segments": {"registered": 3, "received": 2, "bytes": 2048, "damaged": [], "current": None},
            "bootstrap": None,
            "transactions": {"in_snapshot": 6},
            "skipped": 2,
            "statements": 12,
            "rows": {"notes": {"insert": 5, "delete": 1}},
            "reconnects": 1,
            "errors": {"by_kind": {"peer_closed": 2}, "last": []},
            "upstream": {"address": "10.0.0.1:7433"},
            "peers": [],
            "error": None,
            "error_kind": None,
            **changed,
        }
    )


PLACING = {
    "step": "copy",
    "table": "notes",
    "rows": 4000,
    "rows_total": 10_000,
    "bytes": 400_000,
    "bytes_total": 1_000_000,
    "share": 0.4,
    "bytes_per_second": 2_000_000,
    "seconds": 2.0,
    "seconds_left": 3.0,
}
"""How far a snapshot is in place."""


def peer(**changed: Any) -> dict[str, Any]:
    """A connection that streams."""
    return {
        "name": None,
        "address": "10.1.2.3:4711",
        "version": 2,
        "state": "streaming",
        "start": 10,
        "position": 100,
        "lag_bytes": 20,
        "segments": None,
        "since": 0.0,
        "stalled_seconds": 0.0,
        **changed,
    }


def master(**changed: Any) -> dict[str, Any]:
    """A master that is well."""
    return with_problems(
        {
            "role": "master",
            "name": "main.db",
            "state": "serving",
            "positions": {"source": 120, "received": None, "durable": 120, "applied": 120},
            "lag": {"bytes": None, "seconds": None},
            "statements": None,
            "connections": 1,
            "accepted": 4,
            "refused": {"bad_hello": 2},
            "dropped": {"peer_closed": 1},
            "peers": [peer()],
            "snapshots": {"made": 3, "shared": 1, "failed": 0, "making": 1, "open": 2},
            "segments_served": {"count": 4, "missing": [], "error": None},
            "sent": {"forwarded": 9, "passed_over": {"ddl": 33}},
            "warning": None,
            "error": None,
            "error_kind": None,
            **changed,
        }
    )

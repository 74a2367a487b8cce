"""Showing what strangers say: nothing of it may steer a terminal, forge a line of a log, or fill either."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_SHOWN = 63
"""Characters of a name that are shown; as long as a name of PostgreSQL's may be."""

MOST_SHOWN = 20
"""Names of a list that are shown."""


def shown(text: str, longest: int = LONGEST_SHOWN) -> str:
    """A text as it may stand in a log or status: escaped where it does not print, and shortened."""
    cut = text[:longest]
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return safe if len(text) <= longest else safe + "…"


def shown_names(names: Sequence[str]) -> list[str]:
    """Names as they may stand in a status: each `shown`, of many the first ones and how many more."""
    found = [shown(name) for name in names[:MOST_SHOWN]]
    if len(names) > MOST_SHOWN:
        found.append(f"… and {len(names) - MOST_SHOWN} more")
    return found

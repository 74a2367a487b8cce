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


def shown_quoted(text: str, longest: int = LONGEST_SHOWN) -> str:
    """What somebody wrote, in quotes as Python has them; the beginning of what is longer than it should be."""
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}… ({len(text)} characters)"


def shown_names(names: Sequence[str]) -> list[str]:
    """Names as they may stand in a status: each `shown`, of many the first ones and how many more."""
    found = [shown(name) for name in names[:MOST_SHOWN]]
    if len(names) > MOST_SHOWN:
        found.append(f"… and {len(names) - MOST_SHOWN} more")
    return found


def shown_seconds(seconds: float) -> str:
    """How long something takes, for people: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def shown_left(done: float, total: float, seconds: float) -> str:
    """How much longer it takes at the same rate, for people.

    Args:
        done: How much is done, more than nothing.
        total: How much there is to do.
        seconds: How long that took.
    """
    return f"{shown_seconds(max(0.0, total - done) * seconds / done)} left"

"""Counts and durations as people write them: ``1 row``, ``2 rows``, ``1,234 rows``, ``2 s``."""

from __future__ import annotations


def number_of(number: int, one: str, many: str | None = None, form: str = "") -> str:
    """A number of things, with the word for one or for several.

    Args:
        number: How many.
        one: The word for one thing, with its verb where one follows: ``row``, ``row is``.
        many: The words for several; None for `one` with an s.
        form: How the number is written, such as ``,`` for a comma between thousands.
    """
    word = one if number == 1 else f"{one}s" if many is None else many
    return f"{number:{form}} {word}"


def in_seconds(seconds: float) -> str:
    """A time limit as its user would have written it: what a clock adds in further digits is left out."""
    if abs(seconds) < 1:
        return f"{seconds:.2g} s"
    return f"{seconds:.1f}".removesuffix(".0") + " s"

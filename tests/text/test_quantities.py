"""Counts and durations as people write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spgrepl
from spgrepl.text.quantities import in_seconds, number_of


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number_of(0, "row"), "0 rows"),
        (number_of(1, "row"), "1 row"),
        (number_of(2, "row"), "2 rows"),
        (number_of(1, "row is", "rows are"), "1 row is"),
        (number_of(1234567, "row is", "rows are", form=","), "1,234,567 rows are"),
        (number_of(1234567, "byte"), "1234567 bytes"),
    ],
)
def test_one_or_several(said: str, expected: str) -> None:
    assert said == expected


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2, "2 s"),
        (1.99388, "2 s"),
        (2.5, "2.5 s"),
        (0.25, "0.25 s"),
        (0.2512, "0.25 s"),
        (0, "0 s"),
        (86400.0, "86400 s"),
    ],
)
def test_a_time_limit_as_its_user_would_have_written_it(seconds: float, said: str) -> None:
    assert in_seconds(seconds) == said


_FIXED = re.compile(r"LONGEST|MOST|MAX_|max_|limit\b")
"""Limits that the code fixes: none of them is 1."""


def test_no_message_speaks_of_1_rows() -> None:
    """Where a number stands before a word for several things, `number_of` chooses the word."""
    things = "|".join(
        "tables rows records statements segments columns transactions publications subscriptions differences "
        "queries requests failures".split()
    )
    count = re.compile(rf"\{{([^{{}}]+)\}} (?:cold )?(?:{things})\b(?!/s)")
    found = [
        f"{path.name}: {line.strip()}"
        for path in Path(spgrepl.__file__).parent.rglob("*.py")
        for line in path.read_text("utf-8").splitlines()
        for match in count.finditer(line)
        if not _FIXED.search(match[1]) and not match[1].endswith(("!r", "'", "path", ".name", "what"))
    ]
    assert found == []

"""Counts of rows that did not find what they had to find."""

from __future__ import annotations

from spgrepl.errors import StatementRefused
from spgrepl.interfaces.conflicts import ConflictCounts


def refused(sql: bytes, conflict: str | None = "insert_exists") -> StatementRefused:
    return StatementRefused(0, sql, "another row stands in its way", conflict)


def test_a_record_that_is_tried_again_is_one_conflict() -> None:
    counts = ConflictCounts()
    for sql in (b"a", b"a", b"b"):
        counts.note(refused(sql))
    counts.note(refused(b"c", "update_missing"))
    assert counts.as_values() == {"insert_exists": 2, "update_missing": 1}


def test_after_others_were_applied_it_is_another_one() -> None:
    counts = ConflictCounts()
    counts.note(refused(b"a"))
    counts.went_on()
    counts.note(refused(b"a"))
    assert counts.as_values() == {"insert_exists": 2}


def test_other_refusals_are_no_conflicts() -> None:
    counts = ConflictCounts()
    counts.note(refused(b"a", None))
    assert counts.as_values() == {}

"""Why connections end, counted."""

from __future__ import annotations

from spgrepl.master.shared.end_reasons import Cause, CauseCounts


def test_refusals_are_told_apart_from_other_ends() -> None:
    counts = CauseCounts()
    for cause in (Cause.BAD_HELLO, Cause.STALLED, Cause.BAD_HELLO):
        counts.count(cause)
    assert counts.status(refusals=True) == {"bad_hello": 2}
    assert counts.status(refusals=False) == {"stalled": 1}


def test_what_ends_a_stream_is_no_refusal() -> None:
    ends = {Cause.LOG_LOST, Cause.STALLED, Cause.READ_FAILED, Cause.FAULT, Cause.STOPPED, Cause.PEER_CLOSED}
    assert {cause for cause in Cause if not cause.is_refusal} == ends

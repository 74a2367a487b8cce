"""Why a statement of a log is not run."""

from __future__ import annotations

from spgrepl.spgsql.language.stops import NotDeterministic, NotUnderstood, StatementStopped, TypeUnknown


def test_all_are_stops_and_say_why() -> None:
    stops = [NotUnderstood("why"), TypeUnknown("a"), NotDeterministic("now()", "why")]
    assert all(isinstance(one, StatementStopped) for one in stops)
    assert "of the column" not in str(stops[0])
    assert "for the column a is not known" in str(stops[1])


def test_what_has_another_value_on_each_replica_is_named() -> None:
    stop = NotDeterministic("now()", "each has its own clock")
    assert (stop.what, str(stop)) == ("now()", "each has its own clock")

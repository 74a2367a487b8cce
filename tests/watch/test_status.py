"""The one function that makes JSON of a status."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from spgrepl.watch.status import (
    Applied,
    Errors,
    Fault,
    FollowerStatus,
    Fresh,
    Lag,
    OpenTransactions,
    Positions,
    Sent,
    to_json,
)


def follower(**more: Any) -> FollowerStatus:
    return FollowerStatus(
        state="streaming",
        engine="own",
        positions=Positions(5, 4, 3, 2),
        history=None,
        applied=Applied.of({"statements": 7, **more}),
        fault=Fault("it is full", "disk"),
        fresh=Fresh(Lag(3, 0.5), 0.1, None, None, OpenTransactions(1, 2.5)),
        reconnects=0,
        errors=Errors({"peer_closed": 2}, ()),
        protocol="V2",
        base=0,
        transactions={"in_snapshot": 1},
        segments={},
        cold_rows=None,
        bootstrap=None,
        skipped=0,
    )


def test_parts_are_objects_and_flat_ones_stand_among_their_neighbours() -> None:
    found = to_json(follower(rows={"t": 1}))
    assert found["positions"] == {"source": 5, "received": 4, "durable": 3, "applied": 2}
    assert (found["error"], found["error_kind"]) == ("it is full", "disk")
    assert (found["lag"], found["open_transactions"]) == (
        {"bytes": 3, "seconds": 0.5},
        {"count": 1, "seconds": 2.5},
    )
    assert (found["statements"], found["digest"], found["rows"], found["peers"]) == (7, None, {"t": 1}, [])
    assert not {"applied", "fault", "fresh", "more", "serving"} & found.keys()


@pytest.mark.parametrize("name", sorted(to_json(follower())))
def test_what_an_engine_adds_replaces_nothing(name: str) -> None:
    """An engine of somebody's own may call what it tells as it likes: the role's error stays the role's."""
    if name in ("statements", "digest"):
        return
    assert to_json(follower(**{name: "mine", "own": "mine"})) == {**to_json(follower()), "own": "mine"}


def test_tuples_and_mappings_at_any_depth() -> None:
    value = {"a": (Sent(1, {"origin": 2}), [Positions()]), "b": None, "c": True, "d": 1.5}
    assert to_json(value) == {
        "a": [
            {"forwarded": 1, "passed_over": {"origin": 2}},
            [{"source": None, "received": None, "durable": None, "applied": None}],
        ],
        "b": None,
        "c": True,
        "d": 1.5,
    }


def test_a_flat_part_that_is_missing_adds_nothing() -> None:
    assert to_json(attrs.evolve(follower(), applied=Applied())).keys() == to_json(follower()).keys()

"""What is found in a status."""

from __future__ import annotations

from typing import Any

from tests.watch.statuses import follower, master, peer


def found(status: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(problem["kind"], problem["peer"]) for problem in status["problems"]]


def test_nothing_is_found_where_all_is_well() -> None:
    assert found(follower()) == []
    assert found(master()) == []


def test_an_error_is_a_problem_of_its_kind_with_the_master_s_address() -> None:
    status = follower(error="the disk is full", error_kind="engine_failed")
    assert found(status) == [("engine_failed", "10.0.0.1:7433")]
    assert status["problems"][0]["reason"] == "the disk is full"


def test_no_connection_is_a_problem_without_an_error_too() -> None:
    assert found(follower(state="waiting")) == [("waiting", "10.0.0.1:7433")]
    assert found(master(state="stopped")) == [("stopped", None)]


def test_a_transaction_is_a_problem_when_it_stays_open() -> None:
    assert found(follower(open_transactions={"count": 1, "seconds": 0.9})) == []
    assert found(follower(open_transactions={"count": 1, "seconds": 1.1})) == [("open_transaction", None)]
    status = master(open_transactions={"count": 1, "seconds": 4.0})
    assert "at the primary" in status["problems"][0]["reason"]


def test_a_transaction_that_holds_subscribers_up_is_told_once() -> None:
    held = {"position": 40, "seconds": 3.0, "bytes": 60, "transactions": 1, "held": 1}
    assert found(master(peers=[peer(held_up={**held, "seconds": 0.5})])) == []
    status = master(peers=[peer(held_up=held), peer(held_up={**held, "seconds": 7.0}), peer(held_up=None), peer()])
    assert found(status) == [("open_transaction", None)]
    reason = status["problems"][0]["reason"]
    assert "7.0 s in the log, from position 40 on: its end is waited for by 2 subscribers" in reason


def test_a_configured_peer_that_is_away() -> None:
    away = peer(name="berlin", state="away", position=None, lag_bytes=None, away_seconds=12.4)
    status = master(peers=[peer(), away])
    assert found(status) == [("peer_away", "berlin")]
    assert "for 12 s" in status["problems"][0]["reason"]
    never = master(peers=[{**away, "away_seconds": None}])
    assert "has not been connected since this server was started" in never["problems"][0]["reason"]


def test_a_peer_that_takes_nothing() -> None:
    assert found(master(peers=[peer(stalled_seconds=2.0)])) == []
    assert found(master(peers=[peer(stalled_seconds=4.0)])) == [("peer_stalled", "10.1.2.3:4711")]


def test_what_a_master_says_of_its_database_and_segments() -> None:
    served = {"count": 4, "missing": [7], "error": "no folder"}
    assert found(master(warning="rows of another program", segments_served=served)) == [
        ("warning", None),
        ("segments", None),
        ("segments_missing", None),
    ]


def test_segments_that_came_damaged() -> None:
    came = {"registered": 3, "received": 2, "bytes": 2048, "damaged": [5, 6], "current": None}
    status = follower(segments=came)
    assert found(status) == [("segments_damaged", None)]
    assert "5, 6" in status["problems"][0]["reason"]

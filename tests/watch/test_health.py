"""Whether a role is ready, and what is said where it is not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.test.requesthelper import DummyRequest

from spgrepl.watch.health import Healthz, Readyz, not_ready
from spgrepl.watch.metrics import Watched
from tests.watch.statuses import follower, master


def ready(*statuses: dict[str, Any], lag: float = 10.0) -> tuple[int, str]:
    return Readyz([Watched(lambda status=status: status, dict) for status in statuses], lag).answer()  # type: ignore[misc]


def test_a_process_that_answers_is_alive() -> None:
    request: Any = DummyRequest([b"healthz"])
    assert Healthz().body(request) == b"ok\n"
    assert request.responseCode == 200


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_copy_is_ready_while_it_is_at_most_so_old(seconds: float, lag: float) -> None:
    status = follower(lag={"bytes": 1, "seconds": seconds})
    assert (not_ready(status, lag) is None) is (seconds <= lag)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            follower(lag={"bytes": None, "seconds": None}, state="waiting", error="gone"),
            "the follower is waiting: gone",
        ),
        (follower(state="stopped"), "the follower is stopped"),
        (follower(lag={"bytes": 1, "seconds": 11.26}), "its newest change is 11.3 s old, more than 10 s"),
        (follower(lag={"bytes": 1, "seconds": math.inf}), "the follower is streaming"),
        (master(state="draining"), "the master is draining"),
        (master(error="the disk is full"), "the master is serving: the disk is full"),
    ],
)
def test_what_keeps_a_role_from_being_ready(status: dict[str, Any], said: str) -> None:
    code, text = ready(status)
    assert code == 503
    assert said in text


def test_all_roles_of_a_process_count_and_each_says_why() -> None:
    code, text = ready(master(), follower(state="stopped"), master(state="closed"))
    assert (code, text.splitlines()) == (503, ["the follower is stopped", "the master is closed"])


def test_warnings_keep_nobody_away_but_are_told() -> None:
    assert ready(master(warning="another program has changed it"), follower()) == (
        200,
        "ready\nanother program has changed it",
    )
    assert ready() == (200, "ready")

"""The lag of the last ten minutes."""

from __future__ import annotations

from spgrepl.watch.history import MOST_SERIES, History, lag_samples
from tests.watch.statuses import follower, master, peer


def test_the_oldest_value_comes_first_and_what_is_unknown_is_none() -> None:
    history = History(span=4)
    for value in (1.0, None, 3.0):
        history.add({"a": value})
    assert history.as_values() == {"a": [None, 1.0, None, 3.0]}
    history.add({"a": 4.0})
    history.add({"a": 5.12345})
    assert history.as_values() == {"a": [None, 3.0, 4.0, 5.123]}


def test_a_series_of_which_nothing_is_known_any_more_is_given_up() -> None:
    history = History(span=3)
    history.add({"a": 1.0, "b": 1.0})
    for _ in range(3):
        history.add({"a": 1.0})
    assert list(history.as_values()) == ["a"]


def test_the_number_of_series_is_bounded() -> None:
    history = History(span=2)
    history.add({str(number): 1.0 for number in range(MOST_SERIES + 10)})
    assert len(history.as_values()) == MOST_SERIES


def test_the_lags_of_roles() -> None:
    away = peer(name="berlin", state="away", position=None, lag_bytes=None)
    paris = [peer(name="paris", lag_bytes=size) for size in (3, 7, 5)]
    found = lag_samples([follower(peers=[peer()]), master(peers=[*paris, away])])
    assert found == {
        "follower copy.db:seconds": 0.25,
        "follower copy.db:bytes": 20,
        "follower copy.db:peer:10.1.2.3:4711": 20,
        "master main.db:peer:paris": 7,
    }

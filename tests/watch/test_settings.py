"""How a role is watched."""

from __future__ import annotations

from spgrepl.watch.settings import HttpGuard, WatchSettings


def test_a_name_is_given_where_there_is_none() -> None:
    assert WatchSettings().named("copy").name == "copy"
    assert WatchSettings(name="mine").named("copy").name == "mine"


def test_a_token_is_not_shown() -> None:
    assert "hush" not in repr(WatchSettings(guard=HttpGuard(token="hush")))

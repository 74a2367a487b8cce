"""Databases that no primary may write."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from spgrepl.engines.targets.sqlite_target import SqliteTarget
from spgrepl.errors import ConfigurationError
from spgrepl.interfaces.engine import ReplayState
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary.writing.other_roles import refuse_other_roles
from spgrepl.sqlite.state import ROLE_FOLLOWER, ROLE_PRIMARY, StoredState


def stored(role: str) -> StoredState:
    return StoredState(role, ReplayState(0, 0))


def test_its_own_and_a_new_one_are_taken(tmp_path: Path) -> None:
    refuse_other_roles(tmp_path / "x.db", stored(ROLE_PRIMARY), None)
    refuse_other_roles(tmp_path / "x.db", None, None)
    with closing(apsw.Connection(":memory:")) as connection:
        refuse_other_roles(tmp_path / "x.db", None, connection)


def test_a_copy_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.db is a follower's copy"):
        refuse_other_roles(tmp_path / "x.db", stored(ROLE_FOLLOWER), None)


def test_a_subscriber_s_is_named_with_its_subscriptions(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    target = SqliteTarget(path, "news")
    target.open()
    target.start(SubscriptionState(("p",), 5, 5))
    target.close()
    with closing(apsw.Connection(str(path))) as connection:
        with pytest.raises(ConfigurationError, match="is written by the subscriber of 'news'"):
            refuse_other_roles(path, None, connection)
        refuse_other_roles(path, stored(ROLE_PRIMARY), connection)

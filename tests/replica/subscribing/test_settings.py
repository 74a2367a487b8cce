"""What a subscription asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.errors import EngineFailed, PeerClosed, UsageError
from spgrepl.replica.following.states import OnDivergence
from spgrepl.replica.subscribing.settings import Subscription, not_given


def test_a_fresh_copy_needs_copies() -> None:
    with pytest.raises(UsageError, match="cannot take a fresh one"):
        Subscription("s", ("p",), copy_data=False, on_divergence=OnDivergence.RESNAPSHOT)
    Subscription("s", ("p",), on_divergence=OnDivergence.RESNAPSHOT)


def test_more_than_a_master_may_be_asked_for_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^the subscription s: "):
        Subscription("s", tuple(f"p{number}" for number in range(100_000)))


def test_how_to_skip_is_said_in_the_words_of_who_made_it() -> None:
    assert Subscription("s", ()).how_to_skip(7, 0xAB) is None
    made = Subscription("My s", (), of_catalogue=True)
    assert made.how_to_skip(7, 0xAB) == "ALTER SUBSCRIPTION \"My s\" SKIP (position = 7, crc = '000000ab')"


def test_files_have_names_whatever_the_subscription_is_called() -> None:
    path = Path("/data/copy.db")
    assert Subscription("s", ()).file_beside(path, "snapshot") == Path("/data/copy.db.s.snapshot")
    names = ["a/b", "..", "a\nb", "é" * 300, "é" * 301, "x" * 5000]
    files = [Subscription(name, ()).file_beside(path, "snapshot") for name in names]
    assert len(set(files)) == len(names)
    assert all(file.parent == path.parent and len(file.name.encode()) <= 255 for file in files)


def test_a_snapshot_that_is_not_given() -> None:
    error = EngineFailed("no")
    assert not_given(error) is error
    told = not_given(PeerClosed("closed"))
    assert isinstance(told, PeerClosed)
    assert "--no-copy-data" in str(told)

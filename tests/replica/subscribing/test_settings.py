"""Names of subscriptions and publications, however long they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from spgrepl.errors import UsageError
from spgrepl.replica.subscribing.settings import Subscription
from spgrepl.wire.subscription import MAX_HELLO, SubscriberHello


def test_a_short_name_stands_in_its_files_names() -> None:
    assert Subscription("s/1", ()).file_beside(Path("/d/a.db"), "lock") == Path("/d/a.db.s%2F1.lock")


def test_a_long_name_makes_file_names_that_can_be_and_differ(tmp_path: Path) -> None:
    files = {Subscription("ü" * 300 + end, ()).file_beside(tmp_path / "a.db", "lock") for end in "ab"}
    assert len(files) == 2
    for file in files:
        file.touch()


def test_more_than_a_hello_carries_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(UsageError, match=r"the subscription s: the names of its 5 publications make a hello of"):
        Subscription("s", tuple(f"{number}" + "x" * 15_000 for number in range(5)))
    with pytest.raises(UsageError, match="1001 publications are asked for, and one hello can ask for 1000"):
        Subscription("s", tuple(map(str, range(1001))))
    with pytest.raises(UsageError, match="is not Unicode text"):
        Subscription("s", ("\udcff",))


def test_the_longest_hello_is_accepted() -> None:
    fill = MAX_HELLO - 26 - 5 * 2 - 4 * 15_000
    names = (*(f"{number}" + "x" * 14_999 for number in range(4)), "x" * fill)
    assert len(SubscriberHello(0, Subscription("s", names).publications, 0).encode()) == MAX_HELLO

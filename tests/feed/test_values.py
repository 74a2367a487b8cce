"""Positions to store, and what all changes of a transaction have in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spgrepl.errors import UsageError
from spgrepl.feed.values import Change, FeedKind, FeedPosition, FeedTransaction

PLACES = st.integers(0, 2**63 - 1)


@given(PLACES, PLACES, st.booleans(), st.integers(0, 2**32 - 1))
def test_a_position_is_read_from_its_text(one: int, other: int, rows: bool, crc: int) -> None:
    start, position = sorted((one, other))
    stored = FeedPosition(position, rows, start, crc)
    assert FeedPosition.parse(str(stored)) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234",
        "722-r-1234-0a1b2c3d",
        "1234-x-722-0a1b2c3d",
        "1234-r-722-0A1B2C3D",
        "1234-r-722-0a1b2c3",
        "-1-r-0-00000000",
        "1234-r-722-0a1b2c3d\n",
        "١-r-0-00000000",
        f"{2**63}-r-0-00000000",
        "9" * 5000,
    ],
)
def test_what_is_not_a_position_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a position of a change feed") as caught:
        FeedPosition.parse(text)
    assert len(str(caught.value)) < 250


@given(st.text(max_size=30))
def test_any_text_is_a_position_that_writes_itself_or_refused(text: str) -> None:
    try:
        found = FeedPosition.parse(text)
    except UsageError:
        return
    assert FeedPosition.parse(str(found)) == found


@given(st.lists(st.sampled_from([None, 1, 2]), max_size=4))
def test_an_origin_is_that_of_all_changes(origins: list[int | None]) -> None:
    changes = tuple(Change(FeedKind.CLEAR, "t", origin=origin) for origin in origins)
    found = FeedTransaction(FeedPosition(0, True, 0, 0), 0, changes).origin
    assert found == (origins[0] if origins and len(set(origins)) == 1 else None)
    assert [str(kind) for kind in FeedKind] == ["insert", "update", "delete", "clear", "statement"]

"""Two databases are read where both stand at one position, whatever moves meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.base.histories import History
from spgrepl.comparing import pinning
from spgrepl.comparing.ends import ComparedEnd, Standing
from spgrepl.comparing.pinning import pin
from spgrepl.errors import DifferentHistory, EngineFailed, WaitTimeout

ID = "a" * 32


class MovingEnd(ComparedEnd):
    """A database that moves on each time somebody looks, unless it is held.

    Args:
        name: What it is called.
        positions: Where it stands at each look, at the head's count; it stays at the last one.
        offset: What its own count lacks of the head's.
    """

    def __init__(self, name: str, positions: list[int], offset: int = 0, history: str = ID) -> None:
        self.name, self.positions, self.offset, self.history = name, positions, offset, history
        self.held = False
        self.was_held = 0
        self.seen: int | None = None

    def __str__(self) -> str:
        return self.name

    def see(self) -> None:
        """Nothing to do."""

    def stands(self) -> Standing:
        """Where it stands now."""
        return Standing(self.positions[0] - self.offset, (History(self.history, self.offset),))

    def look(self) -> int:
        """Moves after it."""
        self.seen = self.positions[0] - self.offset
        if not self.held and len(self.positions) > 1:
            self.positions.pop(0)
        return self.seen

    def leave(self) -> None:
        """Sees nothing any more."""
        self.seen = None

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """It moves no more."""
        self.held, self.was_held = True, self.was_held + 1
        yield
        self.held = False

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture(autouse=True)
def no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinning, "_LOOK_EVERY", 0)


moves = st.lists(st.integers(0, 40), min_size=1, max_size=6).map(sorted)


@settings(max_examples=40)
@given(moves, moves, st.integers(-30, 30), st.integers(-30, 30))
def test_both_see_the_same_position(one: list[int], other: list[int], here: int, there: int) -> None:
    """Whichever is ahead, and however each of them counts."""
    end = max(one[-1], other[-1])
    first, second = MovingEnd("first", [*one, end], here), MovingEnd("second", [*other, end], there)
    found = pin(first, second, 5)
    assert first.seen is not None
    assert second.seen is not None
    assert first.seen + here == second.seen + there == found.position
    assert found.position.history == ID
    assert [first.held, second.held] == [False, False]
    assert first.was_held + second.was_held >= 1


def test_one_that_does_not_come_in_time_is_named() -> None:
    first, second = MovingEnd("first", [10], 5), MovingEnd("second", [3])
    with pytest.raises(
        WaitTimeout, match=r"second stands at 3 and did not come to 10 within 0 s, where first was"
    ):
        pin(first, second, 0)


def test_what_has_no_common_history_is_not_compared() -> None:
    with pytest.raises(DifferentHistory, match="first and second share no history"):
        pin(MovingEnd("first", [1]), MovingEnd("second", [1], history="b" * 32), 1)


def test_a_history_that_has_ended_at_one_end_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = MovingEnd("first", [1]), MovingEnd("second", [1])
    monkeypatch.setattr(second, "stands", lambda: Standing(1, (History(ID, 0, 1),)))
    with pytest.raises(DifferentHistory):
        pin(first, second, 1)


def test_what_sqlite_refuses_is_said_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = MovingEnd("first", [1]), MovingEnd("second", [1])

    def busy() -> int:
        raise apsw.BusyError("database is locked")

    monkeypatch.setattr(second, "look", busy)
    with pytest.raises(EngineFailed, match="first and second cannot be read at one position: database is locked"):
        pin(first, second, 1)

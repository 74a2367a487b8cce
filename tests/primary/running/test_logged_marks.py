"""How far subscriptions come with the requests that carry their rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from zlib import crc32

import apsw
import attrs
import pytest

from spgrepl.engines.targets import stored_state
from spgrepl.errors import SubscriptionGone
from spgrepl.interfaces.target import SubscriptionState
from spgrepl.primary.changes.recording import Recording
from spgrepl.primary.parts.marks import SubscriptionMark
from spgrepl.primary.parts.requests import Applied
from spgrepl.primary.running.logged_marks import marks_of, write_mark

BEGUN = SubscriptionState(("p",), 10, 10)
LATER = attrs.evolve(BEGUN, position=50)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as made:
        yield made


def test_a_part_of_the_log_is_named_with_its_checksum(tmp_path: Path) -> None:
    recording = Recording(tmp_path)
    recording.begin()
    recording.add(b"INSERT INTO t VALUES (1)")
    middle = recording.length
    recording.add(b"INSERT INTO t VALUES (2)")
    stop = recording.length
    mark = SubscriptionMark("s", None, LATER)
    applied = [
        Applied(0, middle, ()),
        Applied(middle, stop, (), mark),
        Applied(stop, stop, (), mark),
    ]
    (found,) = marks_of(1000, recording, applied)
    assert (found.start, found.end, found.name, found.state) == (1000 + middle, 1000 + stop, "s", LATER)
    assert found.crc == crc32(b"".join(recording.pieces())[middle:stop])
    recording.clear()


def test_a_subscription_begins_and_moves(connection: apsw.Connection) -> None:
    write_mark(connection, SubscriptionMark("s", None, BEGUN))
    assert stored_state.read_subscription(connection, "s") == BEGUN
    write_mark(connection, SubscriptionMark("s", BEGUN, LATER, skipped=((20, b"record", b"sql", "why"),)))
    assert stored_state.read_subscription(connection, "s") == LATER


@pytest.mark.parametrize("stands_at", [None, LATER])
def test_one_that_is_not_where_its_rows_follow_on(connection: apsw.Connection, stands_at: object) -> None:
    write_mark(connection, SubscriptionMark("s" if stands_at else "other", None, LATER))
    with pytest.raises(SubscriptionGone, match="s does not stand at position 10 any more"):
        write_mark(connection, SubscriptionMark("s", BEGUN, LATER))

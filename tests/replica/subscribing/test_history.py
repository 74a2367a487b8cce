"""A subscription whose master was restored, exchanged, or publishes something else than before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spgrepl.engines.targets.counting_target import CountingTarget
from spgrepl.engines.targets.stored_state import history_of, history_values
from spgrepl.errors import HistoryDiverged, LogTruncated
from spgrepl.interfaces.engine import Mark
from spgrepl.interfaces.target import FenceRecord, SubscriptionState
from spgrepl.log.format.records import encode_statement
from spgrepl.replica.following.progress import SkipRequest
from tests.master import kit as master_kit
from tests.replica.subscribing.kit import Rig, running
from tests.replica.subscribing.streams import insert
from tests.replica.subscribing.targets import run_sql

HEAD = insert(0, "x")
TABLE = "CREATE TABLE t (a INTEGER PRIMARY KEY)"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A subscription that was given row 3, then something that is not published, and was stopped."""
    with running(tmp_path, tables=(TABLE,), log=HEAD) as made:
        made.start()
        made.settle()
        made.grow(insert(3), insert(9, "u"))
        made.settle()
        assert made.numbers == [3]
        away(made)
        yield made


def away(rig: Rig) -> None:
    rig.stop()
    rig.ended.clear()


def restored(rig: Rig, *records: bytes) -> None:
    """The master was restored to an early state, and these records were written since."""
    rig.master.log.lose()
    rig.grow(*records)


def ended(rig: Rig) -> Any:
    assert rig.ended, "it goes on"
    return getattr(rig.ended[-1], "value", rig.ended[-1])


def test_a_row_where_something_else_stood_stops_it_and_both_causes_are_named(rig: Rig) -> None:
    """Row 4 is as long as what stood there, so everything fits; it would be missing here for ever."""
    restored(rig, HEAD, insert(3), insert(4), insert(5))
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), HistoryDiverged)
    assert ended(rig).exit_code == 76
    for words in ("a table was added to the publications", "a backup was restored", "cannot be told"):
        assert words in rig.status["error"]
    assert rig.numbers == [3]


def test_what_was_found_holds_whatever_the_master_has_by_then(rig: Rig) -> None:
    restored(rig, HEAD, insert(3), insert(4))
    rig.start()
    rig.settle()
    found = str(ended(rig))
    away(rig)
    restored(rig, HEAD, insert(3), insert(9, "u"), insert(5))
    connections = len(rig.wire.connections)
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), HistoryDiverged)
    assert found in rig.status["error"]
    assert len(rig.wire.connections) == connections
    assert rig.numbers == [3]


def test_it_goes_on_where_an_operator_says_that_the_history_is_the_same(rig: Rig) -> None:
    restored(rig, HEAD, insert(3), insert(4))
    rig.start()
    rig.settle()
    away(rig)
    rig.grow(insert(5))
    rig.start(same_history=True)
    rig.settle()
    assert rig.numbers == [3, 5]
    away(rig)
    rig.grow(insert(6))
    rig.start()
    rig.settle()
    assert (rig.numbers, rig.ended) == ([3, 5, 6], [])


def test_where_nothing_has_come_yet_a_row_that_stands_there_now_stops_it(tmp_path: Path) -> None:
    with running(tmp_path, tables=(TABLE,), log=HEAD) as rig:
        rig.start()
        rig.settle()
        rig.grow(insert(9, "u"))
        rig.settle()
        away(rig)
        restored(rig, HEAD, insert(4), insert(5))
        rig.start()
        rig.settle()
        assert isinstance(ended(rig), HistoryDiverged)
        assert rig.numbers == []


def test_a_position_inside_of_a_record_is_a_different_history_and_not_waited_for(tmp_path: Path) -> None:
    """The master closes without a byte, as it does for other reasons; asked for its end it answers."""
    with running(tmp_path, tables=(TABLE,), log=HEAD) as rig:
        run_sql(rig.database, TABLE)
        rig.start(copy_data=False)
        rig.settle()
        rig.grow(insert(3))
        rig.settle()
        away(rig)
        restored(rig, encode_statement(b"INSERT INTO u VALUES (%d)" % 10**200))
        rig.start(copy_data=False)
        rig.settle(8)
        assert isinstance(ended(rig), HistoryDiverged)
        assert "no record begins there" in rig.status["error"]
        assert rig.numbers == [3]


def test_a_master_that_answers_nothing_is_tried_again(rig: Rig) -> None:
    """Its WAL level is replica: that may change."""
    rig.master.level.set("replica")
    rig.start()
    rig.settle(8)
    assert rig.ended == []
    assert len(rig.wire.connections) > 4
    rig.master.level.set("logical")
    rig.grow(insert(4))
    rig.settle(40)
    assert (rig.numbers, rig.ended) == ([3, 4], [])


def test_a_master_with_another_cluster_id_is_a_different_one(rig: Rig) -> None:
    run_sql(rig.database, "UPDATE spgrepl_subscriber SET fence = json_set(fence, '$.master', 119)")
    rig.grow(insert(4))
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), HistoryDiverged)
    for words in ("0000000000000077", "0123456789abcdef", "cluster id"):
        assert words in rig.status["error"]
    assert rig.numbers == [3]


def test_the_cluster_id_of_a_subscription_of_an_earlier_version_is_learnt(rig: Rig) -> None:
    run_sql(rig.database, "UPDATE spgrepl_subscriber SET fence = json_extract(fence, '$.fence')")
    rig.start()
    rig.settle()
    assert rig.ended == []
    assert rig.stored is not None
    assert rig.stored.master == master_kit.CLUSTER_ID


def test_a_log_that_became_short_is_noted_too(rig: Rig) -> None:
    restored(rig, HEAD)
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), LogTruncated)
    away(rig)
    rig.grow(insert(3), insert(9, "u"), insert(5))
    rig.start()
    rig.settle()
    assert isinstance(ended(rig), HistoryDiverged)
    assert rig.numbers == [3]


def test_other_publications_may_bring_other_records(rig: Rig) -> None:
    rig.grow(insert(4))
    rig.start("q", "p")
    rig.settle()
    assert (rig.numbers, rig.ended) == ([3, 4], [])
    away(rig)
    rig.grow(insert(5))
    rig.start("q", "p")
    rig.settle()
    assert (rig.numbers, rig.ended) == ([3, 4, 5], [])


def test_a_record_that_was_skipped_comes_again_and_is_known(rig: Rig) -> None:
    rig.grow(insert(3), insert(4))
    rig.start()
    rig.settle()
    found = re.search(r"position (\d+), CRC ([0-9a-f]{8})", rig.status["error"])
    assert found is not None
    away(rig)
    rig.start(skip=SkipRequest(int(found[1]), int(found[2], 16)))
    rig.settle()
    assert rig.numbers == [3, 4]
    away(rig)
    rig.grow(insert(5))
    rig.start()
    rig.settle()
    assert (rig.numbers, rig.ended) == ([3, 4, 5], [])


@pytest.mark.parametrize("diverged", [None, "the log ends before"])
@pytest.mark.parametrize("master", [None, 2**64 - 1])
def test_what_is_known_of_a_history_is_stored(tmp_path: Path, master: int | None, diverged: str | None) -> None:
    state = SubscriptionState(
        ("p",),
        5,
        70,
        (FenceRecord(5, 7), FenceRecord(9, 2**32 - 1)),
        master,
        diverged,
        marks=(FenceRecord(1, 2),),
        before_copy=Mark(1, 5, 9),
    )
    assert SubscriptionState(("p",), 5, 70, **history_of(history_values(state))) == state
    target = CountingTarget(tmp_path / "n")
    target.start(state)
    assert CountingTarget(tmp_path / "n").open() == state

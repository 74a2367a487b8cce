"""What the subscribers of a master share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.catalogue.definitions import Publications
from spgrepl.errors import EngineFailed
from spgrepl.master.judged.publisher import level_is_replica
from tests.master.kit import CLUSTER_ID, Master


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    made = Master(tmp_path, bytes(100), publications=Publications())
    made.publisher.stop()
    yield made
    made.close()


def test_one_look_for_all_who_ask_meanwhile(master: Master) -> None:
    master.threads.hold()
    first, second = master.publisher.look_up(), master.publisher.look_up()
    master.threads.release()
    assert first.result == second.result
    assert (first.result.cluster_id, first.result.position) == (CLUSTER_ID, 100)
    assert master.catalog.loads == 1
    master.publisher.look_up()
    assert master.catalog.loads == 2


def test_the_cluster_id_is_read_once_and_is_the_origin_unless_the_catalogue_says_another(master: Master) -> None:
    assert master.publisher.look_up().result.origin == CLUSTER_ID
    calls = master.threads.calls
    master.catalog.origin = 7
    assert master.publisher.look_up().result.origin == 7
    assert master.threads.calls == calls


def test_a_catalogue_that_cannot_be_known_is_asked_for_again(master: Master) -> None:
    master.catalog.error = EngineFailed("locked")
    told: list[type[BaseException]] = []
    master.publisher.look_up().addErrback(lambda failure: told.append(failure.type))
    assert told == [EngineFailed]
    master.catalog.error = None
    assert master.publisher.look_up().result.position == 100


def test_subscribers_are_served_at_one_level_only(master: Master) -> None:
    lowered: list[None] = []
    master.publisher.start(lambda: lowered.append(None))
    assert master.publisher.is_open
    master.level.set("replica")
    assert (master.publisher.is_open, lowered) == (False, [None])
    master.level.set("logical")
    assert (master.publisher.is_open, lowered) == (True, [None])
    master.publisher.stop()
    master.level.set("replica")
    assert lowered == [None]
    assert "--wal-level logical" in str(level_is_replica())


def test_the_status(master: Master) -> None:
    assert master.publisher.status() == {"wal_level": "logical", "pieces": 0}

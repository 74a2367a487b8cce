"""What a master would give a subscriber of a log file, without a connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spgrepl.catalogue.definitions import Publications
from spgrepl.errors import LocalFilesDamaged, RecordError, StartInsideRecord
from spgrepl.master.judged.dry_run import LogTrial
from spgrepl.master.judged.pieces import Reason
from spgrepl.master.judged.selection import Selection
from tests.log.transactions.batches import batch

A, B, PUBLISH = "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (2)", "CREATE PUBLICATION p FOR TABLE a"
OTHER, CONTROL = Reason.OTHER_TABLE, Reason.CONTROL


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "main.wal"


@pytest.fixture
def trial(path: Path) -> Iterator[LogTrial]:
    """Of a log whose last transaction is open."""
    path.write_bytes(batch(A, PUBLISH, A, B, "BEGIN", A, B).data)
    yield from opened(path)


def opened(path: Path) -> Iterator[LogTrial]:
    selection = Selection(("p",))
    selection.begin(Publications(), 0)
    with path.open("rb") as file:
        yield LogTrial(path, file, selection, 1000)


def test_each_record_with_the_reason_why_it_is_not_forwarded(trial: LogTrial) -> None:
    found = [reason for part in trial.given_out() for reason in part.reasons or ()]
    assert found == [Reason.UNKNOWN_PUBLICATION, CONTROL, None, OTHER]
    assert trial.position == batch(A, PUBLISH, A, B).end


def test_what_belongs_to_an_open_transaction_is_held_back(trial: LogTrial) -> None:
    assert list(trial.given_out())[-1].reasons is not None
    (held,) = trial.held_back()
    assert held.reasons is None
    assert len(held.batch) == 3
    (shorter,) = trial.held_back(trial.position + batch("BEGIN").end)
    assert len(shorter.batch) == 1


def test_it_begins_at_a_record(trial: LogTrial) -> None:
    start = batch(A, PUBLISH).end
    trial.start_at(start, 0)
    assert [part.batch.position for part in trial.given_out()] == [start]
    with pytest.raises(StartInsideRecord):
        trial.start_at(3, 0)
    with pytest.raises(LocalFilesDamaged, match="ends before position 10000"):
        trial.start_at(10_000, 0)


def test_what_stands_in_front_of_damage_comes_first(path: Path) -> None:
    damaged = bytearray(batch(B).data)
    damaged[-1] ^= 1
    path.write_bytes(batch(PUBLISH, A).data + damaged + batch(A).data)
    for trial in opened(path):
        parts = trial.given_out()
        assert (next(parts).reasons, next(parts).reasons) == ([CONTROL], [None])
        with pytest.raises(RecordError):
            next(parts)


def test_a_log_that_shrinks_while_it_is_read_is_named(path: Path, trial: LogTrial) -> None:
    path.write_bytes(b"")
    with pytest.raises(LocalFilesDamaged, match="was truncated while it was read"):
        list(trial.given_out())

"""When each record of a log takes effect, as it is told to people."""

from __future__ import annotations

from spgrepl.log.format.records import encode_checkpoint
from spgrepl.log.transactions.places import Effect, Place, RecordPlaces
from tests.log.transactions.batches import alone, batch

ROW = "INSERT INTO t VALUES (1)"


def effects(*texts: str | bytes) -> list[Effect]:
    return [place.effect for place in RecordPlaces().of(batch(*texts))]


def test_each_effect_once() -> None:
    assert effects(ROW, "BEGIN", ROW, alone(ROW), encode_checkpoint(0), "COMMIT", ROW) == [
        Effect.NOW,
        Effect.CONTROL,
        Effect.HELD,
        Effect.ALONE,
        Effect.NONE,
        Effect.CONTROL,
        Effect.NOW,
    ]


def test_a_transaction_in_one_record_takes_effect_where_it_stands() -> None:
    assert effects(f"BEGIN; {ROW}; COMMIT") == [Effect.NOW]


def test_what_is_on_both_sides_of_an_end_takes_no_effect() -> None:
    assert effects("BEGIN", f"COMMIT; {ROW}") == [Effect.CONTROL, Effect.NONE]


def test_ends_that_differ_are_shown_and_not_refused() -> None:
    assert effects("BEGIN", "BEGIN", ROW, "COMMIT", "ROLLBACK", ROW)[-2:] == [Effect.CONTROL, Effect.NOW]


def test_the_place_of_the_begin_goes_from_batch_to_batch() -> None:
    places = RecordPlaces()
    first = batch(ROW, "BEGIN", ROW)
    begin = first.start_of(1)
    assert [place.begin for place in places.of(first)] == [None, begin, begin]
    second = batch(ROW, "COMMIT", ROW, position=first.end)
    assert places.of(second) == [
        Place(Effect.HELD, begin),
        Place(Effect.CONTROL, begin),
        Place(Effect.NOW, None),
    ]

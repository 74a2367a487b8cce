"""What a filter makes of a judged piece: frames of what is published, counts of the rest."""

from __future__ import annotations

import attrs
import pytest

from spgrepl.catalogue.definitions import EVERY_TABLE, NO_TABLE, Publications, TableFilter
from spgrepl.catalogue.owners.owner import OwnerJudge
from spgrepl.catalogue.statements import CreatePublication, Scope
from spgrepl.log.transactions.groups import Revoked
from spgrepl.master.judged.pieces import Piece, Reason, Sifted
from spgrepl.sqlite.row_mark import ROWS_FROM_HERE
from spgrepl.wire.frames import encode_skip, encode_wal_header
from tests.log.transactions.batches import alone, batch

A, B = "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (22)"
DDL, CONTROL = "CREATE TABLE c (d)", "CREATE PUBLICATION p FOR TABLE a"
ONLY_A, _ = Publications().after(CreatePublication("p", Scope.ONLY, ("a",))).filter_for(["p"])


def piece(*texts: str | bytes, revoked: tuple[int, int] | None = None) -> Piece:
    """A piece of these records; those between two indices were taken back."""
    found = batch(*texts)
    ranges = () if revoked is None else (Revoked(found.start_of(revoked[0]), found.start_of(revoked[1])),)
    return Piece(found, OwnerJudge().owners(found), ranges)


def length(*texts: str | bytes) -> int:
    return batch(*texts).end


def framed(text: str) -> bytes:
    return encode_wal_header(length(text)) + batch(text).data


def test_what_is_wanted_is_framed_and_the_rest_is_counted() -> None:
    found = piece(B, A, B, DDL, A, CONTROL).sift(ONLY_A)
    assert found == Sifted(
        lead=length(B),
        frames=framed(A) + encode_skip(length(B, DDL)) + framed(A),
        trail=length(CONTROL),
        records=2,
        passed_over={
            Reason.OTHER_TABLE: length(B, B),
            Reason.DDL: length(DDL),
            Reason.CONTROL: length(CONTROL),
        },
    )


def test_nothing_and_everything() -> None:
    found = piece(A, B)
    assert found.sift(NO_TABLE) == Sifted(length(A, B), b"", 0, 0, {Reason.OTHER_TABLE: length(A, B)})
    assert found.sift(EVERY_TABLE) == Sifted(0, framed(A) + framed(B), 0, 2, {})


def test_a_part_of_the_records() -> None:
    assert piece(A, B, A).sift(ONLY_A, 1, 3) == Sifted(length(B), framed(A), 0, 1, {Reason.OTHER_TABLE: length(B)})


def test_what_was_taken_back_is_not_forwarded_but_what_stood_alone_is() -> None:
    found = piece(A, A, alone(A), A, B, revoked=(1, 4)).sift(ONLY_A)
    assert found.records == 2
    assert found.passed_over == {Reason.ROLLED_BACK: length(A, A), Reason.OTHER_TABLE: length(B)}


@pytest.mark.parametrize("wanted", [ONLY_A, EVERY_TABLE, NO_TABLE])
def test_the_reason_of_each_record_agrees(wanted: TableFilter) -> None:
    found = piece(A, B, DDL, A, CONTROL, revoked=(3, 4))
    reasons = found.reasons(wanted, 0, 5)
    assert reasons[2:] == [Reason.DDL, Reason.ROLLED_BACK, Reason.CONTROL]
    assert reasons.count(None) == found.sift(wanted).records


def test_rows_do_not_go_back_to_where_they_come_from() -> None:
    own = f"{A} /* origin 0000000000000007 */"
    found = piece(A, own, A)
    assert found.sift(ONLY_A, reader=7, rows_from=0).passed_over == {Reason.OWN_ORIGIN: length(own)}
    assert found.sift(ONLY_A, reader=8, rows_from=0).records == 3
    assert found.sift(ONLY_A, reader=7).records == 3  # a log of statements states no origins
    assert found.sift(ONLY_A, reader=7, rows_from=found.end).records == 3


def test_equal_filters_share_what_was_found() -> None:
    found = piece(A, B)
    assert found.sift(attrs.evolve(ONLY_A)) is found.sift(ONLY_A)


def test_changes_of_the_catalogue_that_took_effect() -> None:
    found = piece(CONTROL, A, CONTROL, A, revoked=(2, 4))
    assert [index for index, _ in found.changes] == [0]


def test_where_rows_begin() -> None:
    assert piece(A).rows_from is None
    assert piece(A, ROWS_FROM_HERE.decode()).rows_from == length(A)

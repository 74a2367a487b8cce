"""What one connection alone has said of a different history."""

from __future__ import annotations

import pytest

from spgrepl.errors import HistoryDiverged, LogTruncated, PeerClosed, PeerError, SpgReplError, StartLost
from spgrepl.replica.second_look import SecondLook


@pytest.mark.parametrize("kind", [HistoryDiverged, LogTruncated])
def test_the_first_one_is_doubted_and_the_second_one_believed(kind: type[SpgReplError]) -> None:
    look = SecondLook()
    doubt = look.doubt(kind("the bytes differ"))
    assert type(doubt) is PeerError
    assert "the bytes differ. A damaged byte on its way could look like this" in str(doubt)
    assert look.doubt(PeerClosed("gone")) is None
    assert look.doubt(kind("the bytes differ")) is None


def test_what_fits_begins_it_again() -> None:
    look = SecondLook()
    assert look.doubt(HistoryDiverged("the bytes differ")) is not None
    look.moved()
    assert look.doubt(HistoryDiverged("the bytes differ")) is not None


@pytest.mark.parametrize("error", [PeerClosed("gone"), StartLost("no rows")])
def test_other_errors_hold(error: SpgReplError) -> None:
    assert SecondLook().doubt(error) is None

"""V1 is asked for where a master does not know V2, not where it is only starting."""

from __future__ import annotations

from spgrepl.errors import PeerClosed, PeerTimeout
from spgrepl.replica.following.version_choice import VersionChoice
from spgrepl.wire.handshake import StreamVersion

V1, V2 = StreamVersion.V1, StreamVersion.V2
CLOSED = PeerClosed("closed")


def test_a_master_that_never_spoke_v2_is_asked_for_v1_and_then_for_v2_again() -> None:
    choice = VersionChoice()
    assert choice.next is V2
    assert choice.ended(V2, CLOSED, heard=False)
    assert choice.next is V1
    assert not choice.ended(V1, CLOSED, heard=False)
    assert choice.next is V2


def test_silence_is_not_a_refusal() -> None:
    choice = VersionChoice()
    assert not choice.ended(V2, PeerTimeout("silent"), heard=False)
    assert choice.next is V2


def test_a_master_that_spoke_v2_is_only_starting_again() -> None:
    choice = VersionChoice()
    assert not choice.ended(V2, CLOSED, heard=True)
    assert not choice.ended(V2, CLOSED, heard=False)
    assert not choice.ended(V2, CLOSED, heard=False)
    assert choice.next is V2
    choice.unreachable()
    assert not choice.ended(V2, CLOSED, heard=False)


def test_a_master_that_was_replaced_by_an_older_one_is_found_again() -> None:
    choice = VersionChoice()
    choice.ended(V2, CLOSED, heard=True)
    assert [choice.ended(V2, CLOSED, heard=False) for _ in range(3)] == [False, False, True]

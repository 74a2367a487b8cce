"""Which frames that are not known a master sends on purpose."""

from __future__ import annotations

from spgrepl.wire.frames import FrameType
from spgrepl.wire.unknown_types import UnknownTypes


def test_what_came_on_the_connection_before_is_meant() -> None:
    unknown = UnknownTypes()
    assert not unknown.on_purpose(0x77, 10)
    assert not unknown.on_purpose(0x77, 10)
    unknown.begin()
    assert unknown.on_purpose(0x77, 500)
    assert not unknown.on_purpose(0x78, 10)


def test_what_did_not_come_again_is_not_meant_for_ever() -> None:
    unknown = UnknownTypes()
    unknown.on_purpose(0x77, 10)
    unknown.begin()
    unknown.begin()
    assert not unknown.on_purpose(0x77, 10)


def test_of_a_type_that_is_known_the_length_counts() -> None:
    unknown = UnknownTypes()
    unknown.on_purpose(FrameType.STATUS, 24)
    unknown.begin()
    assert unknown.on_purpose(FrameType.STATUS, 24)
    assert not unknown.on_purpose(FrameType.STATUS, 24 + 2048)

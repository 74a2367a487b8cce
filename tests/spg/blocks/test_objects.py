"""The blocks after the tables: each has its name, from the version that brought it on."""

from __future__ import annotations

import pytest

from spgrepl.errors import SpgFileError, UnknownSpgTag
from spgrepl.spg.blocks.objects import read_objects
from tests.spg import writer as w
from tests.spg.conftest import Made

ACL = w.list16(w.text("bob") + w.u16(3) + w.u16(1) + w.text("me"))
ENUM = w.list32(w.text("mood") + w.list16(w.text("sad"), w.text("glad")))
SEQUENCE = w.text("s") + w.u8(2) + b"".join(map(w.i64, (1, 2, -3, 9, 5))) + w.u8(1)
SEQUENCE += w.opt(w.text("t") + w.text("id")) + w.i64(7) + w.u8(0)
PLACE_OF_ENUMS, PLACE_OF_SEQUENCES, PLACE_OF_TRIGGERS, PLACE_OF_OWNERS = 5, 2, 1, 10


def blocks(version: int, given: dict[int, bytes] | None = None) -> bytes:
    """What a catalog has after its tables."""
    whole = w.catalog(version, objects=given)
    return whole[len(b"SPGDB001") + 5 : len(whole) - (4 if version >= 54 else 0)]


@pytest.mark.parametrize("version", [21, 22, 26, 29, 52, 66, 92, 99, 100])
def test_blocks_are_there_from_their_version_on(made: Made, version: int) -> None:
    given = {PLACE_OF_ENUMS: ENUM}
    cursor = made(blocks(version, given), version)
    found = read_objects(cursor)
    assert cursor.left == 0
    assert len(found) == sum(since <= version for since in w.OBJECT_BLOCKS)
    assert ("sequences" in found, "collation" in found) == (version >= 26, version >= 92)
    assert found.get("enums", ()) == (({"name": "mood", "labels": ("sad", "glad")},) if version >= 29 else ())


def test_sequences_and_owners(made: Made) -> None:
    owners = w.list32(w.text("s") + w.opt(w.text("me")) + ACL) + ACL + w.list16()
    found = read_objects(made(blocks(100, {PLACE_OF_SEQUENCES: w.list32(SEQUENCE), PLACE_OF_OWNERS: owners}), 100))
    (sequence,) = found["sequences"]
    assert [sequence[name] for name in ("start", "step", "min", "max", "cache", "last")] == [1, 2, -3, 9, 5, 7]
    assert (sequence["cycle"], sequence["called"]) == (True, False)
    assert sequence["owned_by"] == {"table": "t", "column": "id"}
    (grant,) = found["sequence_owners"]["schema_acl"]
    assert grant == {"grantee": "bob", "privileges": 3, "options": 1, "grantor": "me"}
    assert found["sequence_owners"]["sequences"][0]["acl"] == (grant,)


@pytest.mark.parametrize(("version", "names"), [(22, ()), (25, ("update_of", "enabled")), (70, ("when",))])
def test_a_trigger_has_the_fields_of_its_version(made: Made, version: int, names: tuple[str, ...]) -> None:
    trigger = (
        w.text("g") + w.text("t") + w.text("AFTER") + w.list16(w.text("INSERT")) + w.text("ROW") + w.text("f")
    )
    trigger += (w.list16(w.text("a")) if version >= 23 else b"") + (w.u8(0) if version >= 25 else b"")
    trigger += w.text("a > 1") if version >= 70 else b""
    cursor = made(blocks(version, {PLACE_OF_TRIGGERS: w.list32(trigger)}), version)
    (found,) = read_objects(cursor)["triggers"]
    assert cursor.left == 0
    assert (found["table"], found["events"]) == ("t", ("INSERT",))
    assert all(name in found for name in names)
    assert found.get("enabled", False) is False


def test_what_is_not_known_is_named(made: Made) -> None:
    wrong = SEQUENCE.replace(w.text("s") + w.u8(2), w.text("s") + w.u8(3))
    with pytest.raises(UnknownSpgTag, match="the type of a sequence, 3"):
        read_objects(made(blocks(100, {PLACE_OF_SEQUENCES: w.list32(wrong)}), 100))


def test_every_truncation_is_an_error(made: Made) -> None:
    data = blocks(100, {PLACE_OF_SEQUENCES: w.list32(SEQUENCE), PLACE_OF_ENUMS: ENUM})
    for size in range(len(data)):
        with pytest.raises(SpgFileError):
            read_objects(made(data[:size], 100))

"""What SQLite cannot express, read from its bytes; what is not known is named with its place."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spgrepl.errors import UnknownSpgTag
from spgrepl.spg.blocks import details
from tests.spg import writer as w
from tests.spg.conftest import Made


@settings(max_examples=40)
@given(value=st.integers(-(2**63), 2**63 - 1))
def test_bounds_of_lists(made: Made, value: int) -> None:
    fitting = [
        tag for tag, form in ((2, "q"), (4, "i"), (5, "h")) if abs(value) < 2 ** (8 * struct.calcsize(form) - 1)
    ]
    bounds = [w.u8(tag) + struct.pack({2: "<q", 4: "<i", 5: "<h"}[tag], value) for tag in fitting]
    data = w.u8(4) + w.text("p") + w.list16(*bounds, w.u8(0), w.u8(1), w.u8(7) + w.lstr("it's"))
    cursor = made(data)
    wanted = (*(str(value) for _ in fitting), "MINVALUE", "MAXVALUE", "it's")
    assert details.partition(cursor) == {"role": "list", "parent": "p", "values": wanted}
    assert cursor.left == 0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (w.u8(0), None),
        (
            w.u8(1, 2) + w.list16(w.u16(3)) + w.list16(w.text("i")),
            {"role": "parent", "kind": "hash", "keys": (3,), "indexes": ("i",)},
        ),
        (
            w.u8(2) + w.text("p") + w.u8(0, 1),
            {"role": "range", "parent": "p", "from": "MINVALUE", "to": "MAXVALUE"},
        ),
        (w.u8(3) + w.text("p"), {"role": "default", "parent": "p"}),
        (
            w.u8(5) + w.text("p") + w.u32(8) + w.u32(3),
            {"role": "hash", "parent": "p", "modulus": 8, "remainder": 3},
        ),
        (w.u8(6) + w.list16(w.text("a"), w.text("b")), {"role": "inherits", "parents": ("a", "b")}),
    ],
)
def test_roles_of_partitions(made: Made, data: bytes, said: object) -> None:
    cursor = made(data)
    assert details.partition(cursor) == said
    assert cursor.left == 0


@pytest.mark.parametrize(
    ("read", "data", "said", "place"),
    [
        (details.partition, w.u8(7), "the partition role 7", 0),
        (details.partition, w.u8(1, 3), "the kind of a partitioned table, 3", 1),
        (details.partition, w.u8(2) + w.text("p") + w.u8(8), "the bound of a partition with tag 8", 4),
        (details.mysql_width, w.u8(5), "the width of a MySQL integer, 5", 0),
    ],
)
def test_what_is_not_known_is_named(made: Made, read: object, data: bytes, said: str, place: int) -> None:
    assert callable(read)
    with pytest.raises(UnknownSpgTag, match=said) as caught:
        read(made(data))
    assert f"{place}" in str(caught.value)


def test_policies_and_owners_only_where_there_are_some(made: Made) -> None:
    policy = w.text("mine") + w.u8(1, 1) + w.list16(w.text("bob")) + w.opt(w.text("a = 1")) + w.opt(None)
    found = details.security(made(w.u8(1, 0) + w.list16(policy)))
    assert (found["enabled"], found["forced"]) == (True, False)
    assert found["policies"][0] | {"using": "a = 1", "check": None, "roles": ("bob",)} == found["policies"][0]
    assert details.security(made(w.u8(0, 0) + w.list16())) == {}
    assert details.owner(made(w.u8(0) + w.list16())) == {}
    assert details.owner(made(w.opt(w.text("bob")) + w.list16()))["owner"] == "bob"


def test_small_things(made: Made) -> None:
    assert [details.collation(made(w.u8(kind))) for kind in (0, 1, 2)] == ["binary", "case-insensitive", "binary"]
    widths = [details.mysql_width(made(w.u8(width))) for width in range(5)]
    assert widths == ["tiny", "medium", "small", "int", "big"]
    assert details.pair(made(w.u8(7, 3))) == (7, 3)
    assert details.texts(made(w.list16(w.text("ä"), w.text("")))) == ("ä", "")

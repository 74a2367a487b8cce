"""Small readers that are put together to larger ones."""

from __future__ import annotations

from collections.abc import Callable

from spgrepl.spg.blocks.parts import acl, blob, list16, list32, optional, record, since, text, u8, u16
from spgrepl.spg.values.cursor import Cursor


def test_a_record_has_the_fields_of_its_version(made: Callable[..., Cursor]) -> None:
    read = record(("a", u8), ("_left_out", u8), since(46, "b", u16))
    assert read(made(b"\1\2\3\0", 46)) == {"a": 1, "b": 3}
    old = made(b"\1\2\3\0", 45)
    assert read(old) == {"a": 1}
    assert old.left == 2


def test_lists_and_what_may_be_missing(made: Callable[..., Cursor]) -> None:
    assert list16(u8)(made(b"\2\0\5\6")) == (5, 6)
    assert list32(u8)(made(b"\1\0\0\0\5")) == (5,)
    assert optional(text)(made(b"\0")) is None
    assert optional(text)(made(b"\1\1\0a")) == "a"


def test_bytes_that_are_skipped(made: Callable[..., Cursor]) -> None:
    cursor = made(b"\3\0\0\0abcd")
    assert (blob(cursor), cursor.left) == (3, 1)


def test_who_may_do_what(made: Callable[..., Cursor]) -> None:
    found = acl(made(b"\1\0\1\0a\7\0\0\0\1\0b"))
    assert found == ({"grantee": "a", "privileges": 7, "options": 0, "grantor": "b"},)

"""Small readers that are put together to larger ones, for the blocks of a catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spgrepl.spg.values.cursor import Cursor

Reader = Callable[[Cursor], Any]
Field = tuple[int, str, Reader]
"""The version that brought it, its name, how it is read."""


def since(version: int, name: str, reader: Reader) -> Field:
    """A field that is there from a version on."""
    return version, name, reader


def record(*fields: tuple[str, Reader] | Field) -> Reader:
    """A reader of fields one after the other, as a dict; those whose name begins with ``_`` are left out."""
    every: list[Field] = [field if len(field) == 3 else (0, *field) for field in fields]

    def read(cursor: Cursor) -> dict[str, Any]:
        found = {}
        for version, name, reader in every:
            if cursor.version >= version:
                value = reader(cursor)
                if not name.startswith("_"):
                    found[name] = value
        return found

    return read


def list16(item: Reader, smallest: int = 1) -> Reader:
    """A reader of a counted list."""
    return lambda cursor: cursor.list16(item, smallest)


def list32(item: Reader, smallest: int = 1) -> Reader:
    """A reader of a list with a long count."""
    return lambda cursor: cursor.list32(item, smallest)


def optional(item: Reader) -> Reader:
    """A reader of what may be missing."""
    return lambda cursor: cursor.optional(item)


def blob(cursor: Cursor) -> int:
    """Bytes with their length in front, which are skipped: the result is how many there were."""
    count = cursor.u32()
    cursor.skip(count)
    return count


text, long_text, truth, u8, u16, u32, i64, u64, f64 = (
    Cursor.text,
    Cursor.long_text,
    Cursor.truth,
    Cursor.u8,
    Cursor.u16,
    Cursor.u32,
    Cursor.i64,
    Cursor.u64,
    Cursor.f64,
)

acl = list16(record(("grantee", text), ("privileges", u16), ("options", u16), ("grantor", text)), 8)
"""Who may do what."""

"""What a catalog says of tables and columns that SQLite cannot express: partitions, policies, owners, widths."""

from __future__ import annotations

from typing import Any

from spgrepl.spg.blocks import parts
from spgrepl.spg.blocks.parts import acl, list16, record, text, truth, u8
from spgrepl.spg.values.cursor import Cursor

_MOST_BOUND = 7
_BOUND_BYTES = {0: 0, 1: 0, 2: 8, 3: 8, 4: 4, 5: 2, 6: 4}


def collation(cursor: Cursor) -> str:
    """A collation's kind."""
    return "case-insensitive" if cursor.u8() == 1 else "binary"


def partition(cursor: Cursor) -> dict[str, Any] | None:
    """A partition role; None for a plain table."""
    offset, role = cursor.offset, cursor.u8()
    if role == 0:
        return None
    if role == 1:
        kind = cursor.u8()
        if kind > 2:
            raise cursor.unknown("the kind of a partitioned table,", kind, cursor.offset - 1)
        keys = cursor.list16(Cursor.u16, 2)
        return {"role": "parent", "kind": ("range", "list", "hash")[kind], "keys": keys, "indexes": texts(cursor)}
    if role == 2:
        return {"role": "range", "parent": cursor.text(), "from": _bound(cursor), "to": _bound(cursor)}
    if role == 3:
        return {"role": "default", "parent": cursor.text()}
    if role == 4:
        return {"role": "list", "parent": cursor.text(), "values": cursor.list16(_bound)}
    if role == 5:
        return {"role": "hash", "parent": cursor.text(), "modulus": cursor.u32(), "remainder": cursor.u32()}
    if role == 6:
        return {"role": "inherits", "parents": texts(cursor)}
    raise cursor.unknown("the partition role", role, offset)


def texts(cursor: Cursor) -> tuple[str, ...]:
    """A list of texts."""
    return cursor.list16(Cursor.text, 2)


def _bound(cursor: Cursor) -> str:
    offset, tag = cursor.offset, cursor.u8()
    if tag == _MOST_BOUND:
        return cursor.long_text()
    if tag not in _BOUND_BYTES:
        raise cursor.unknown("the bound of a partition with tag", tag, offset)
    if tag < 2:
        return ("MINVALUE", "MAXVALUE")[tag]
    return str(int.from_bytes(cursor.take(_BOUND_BYTES[tag]), "little", signed=True))


def security(cursor: Cursor) -> dict[str, Any]:
    """Row security and its policies."""
    enabled, forced = cursor.truth(), cursor.truth()
    found = cursor.list16(_policy, 8)
    return {"enabled": enabled, "forced": forced, "policies": found} if enabled or forced or found else {}


_policy = record(
    ("name", text),
    ("command", u8),
    ("permissive", truth),
    ("roles", list16(text, 2)),
    ("using", parts.optional(text)),
    ("check", parts.optional(text)),
)


def owner(cursor: Cursor) -> dict[str, Any]:
    """A table's owner and grants."""
    found, granted = cursor.optional(Cursor.text), acl(cursor)
    return {"owner": found, "acl": granted} if found is not None or granted else {}


def pair(cursor: Cursor) -> tuple[int, int]:
    """Two small numbers."""
    return cursor.u8(), cursor.u8()


def mysql_width(cursor: Cursor) -> str:
    """The width of a MySQL integer."""
    found = cursor.u8()
    if found > 4:
        raise cursor.unknown("the width of a MySQL integer,", found, cursor.offset - 1)
    return ("tiny", "medium", "small", "int", "big")[found]

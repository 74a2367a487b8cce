"""The blocks of a catalog after its tables: functions, sequences, views, types, and what else belongs to all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spgrepl.spg.blocks.parts import (
    Reader,
    acl,
    blob,
    f64,
    i64,
    list16,
    list32,
    long_text,
    optional,
    record,
    since,
    text,
    truth,
    u8,
    u32,
)
from spgrepl.spg.values.cursor import Cursor
from spgrepl.spg.values.types import read_type

_INTEGER_WIDTHS = 3


def _type_label(cursor: Cursor) -> str:
    return read_type(cursor).label


def _sequence_type(cursor: Cursor) -> int:
    found = cursor.u8()
    if found >= _INTEGER_WIDTHS:
        raise cursor.unknown("the type of a sequence,", found, cursor.offset - 1)
    return found


_BLOCKS: tuple[tuple[int, str, Reader], ...] = (
    (
        22,
        "functions",
        list32(
            record(
                ("name", text), ("arguments", text), ("returns", text), ("language", text), ("body", long_text)
            ),
            12,
        ),
    ),
    (
        22,
        "triggers",
        list32(
            record(
                ("name", text),
                ("table", text),
                ("timing", text),
                ("events", list16(text, 2)),
                ("for_each", text),
                ("function", text),
                since(23, "update_of", list16(text, 2)),
                since(25, "enabled", truth),
                since(70, "when", text),
            ),
            12,
        ),
    ),
    (
        26,
        "sequences",
        list32(
            record(
                ("name", text),
                ("type", _sequence_type),
                ("start", i64),
                ("step", i64),
                ("min", i64),
                ("max", i64),
                ("cache", i64),
                ("cycle", truth),
                ("owned_by", optional(record(("table", text), ("column", text)))),
                ("last", i64),
                ("called", truth),
            ),
            54,
        ),
    ),
    (
        27,
        "views",
        list32(
            record(
                ("name", text), ("columns", list16(text, 2)), ("sql", long_text), since(69, "check_option", u8)
            ),
            8,
        ),
    ),
    (28, "materialized_views", list32(record(("name", text), ("sql", long_text)), 6)),
    (29, "enums", list32(record(("name", text), ("labels", list16(text, 2))), 4)),
    (
        30,
        "domains",
        list32(
            record(
                ("name", text),
                ("type", _type_label),
                ("nullable", truth),
                ("default", optional(text)),
                ("checks", list16(record(("sql", text), since(75, "name", text)), 2)),
                since(74, "base", optional(text)),
            ),
            7,
        ),
    ),
    (31, "schemas", list32(text, 2)),
    (
        52,
        "composites",
        list32(
            record(
                ("name", text),
                (
                    "fields",
                    list16(
                        record(("name", text), ("type", _type_label), since(76, "user_type", optional(text))), 3
                    ),
                ),
            ),
            4,
        ),
    ),
    (61, "comments", list32(record(("key", text), ("text", long_text)), 6)),
    (
        66,
        "sequence_owners",
        record(
            ("sequences", list32(record(("name", text), ("owner", optional(text)), ("acl", acl)), 5)),
            ("schema_acl", acl),
            ("database_acl", acl),
        ),
    ),
    (67, "function_owners", list32(record(("signature", text), ("owner", optional(text)), ("acl", acl)), 5)),
    (
        71,
        "rules",
        list32(
            record(
                ("name", text),
                ("table", text),
                ("event", text),
                ("instead", truth),
                ("when", text),
                ("commands", list16(text, 2)),
            ),
            11,
        ),
    ),
    (
        77,
        "statistics",
        list32(
            record(("name", text), ("table", text), ("kinds", list16(text, 2)), ("columns", list16(text, 2))), 8
        ),
    ),
    (78, "large_objects", list32(record(("oid", u32), ("bytes", blob)), 8)),
    (
        80,
        "function_attributes",
        list32(
            record(("signature", text), ("_a", u8), ("_b", u8), ("_c", u8), ("cost", f64), ("rows", f64)),
            21,
        ),
    ),
    (
        85,
        "role_settings",
        list32(
            record(
                ("database", text),
                ("role", text),
                ("settings", list32(record(("name", text), ("value", text)), 4)),
            ),
            8,
        ),
    ),
    (86, "replication_slots", list32(record(("name", text), ("kind", text), ("position", text)), 6)),
    (92, "collation", optional(text)),
    (100, "object_owners", list32(record(("kind", u8), ("name", text), ("owner", text)), 5)),
    (100, "extensions", list32(record(("name", text), ("version", text)), 4)),
    (100, "operator_classes", list32(record(("index", text), ("class", text)), 4)),
)
"""In the order of the file, each with the version that brought it."""


def read_objects(cursor: Cursor) -> Mapping[str, Any]:
    """Read all blocks after the tables that the file's version has.

    Returns:
        Each block by its name, as lists of dicts.

    Raises:
        SpgFileError: They cannot be read.
    """
    return {name: reader(cursor) for version, name, reader in _BLOCKS if cursor.version >= version}

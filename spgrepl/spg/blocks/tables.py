"""The block of one table in a catalog: what it is, and where its rows are. The rows themselves are skipped."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import attrs

from spgrepl.errors import MalformedSpgFile, SpgFileError, UnknownSpgTag
from spgrepl.spg.blocks import details, parts
from spgrepl.spg.blocks.indexes import TAIL_FIELDS, positions, read_index
from spgrepl.spg.blocks.parts import acl, list16, record, text, u8
from spgrepl.spg.blocks.schema import ACTIONS, Check, Column, ForeignKey, Table, Uniqueness
from spgrepl.spg.values.bodies import BadBody, Short, UnknownTagInBody
from spgrepl.spg.values.cursor import Cursor
from spgrepl.spg.values.rows import RowDecoder, RowError
from spgrepl.spg.values.types import LSN_TAG, REAL_TAG, SpgType, read_type, tagged_decoder
from spgrepl.text.quantities import number_of

ROW_HEADER = 25
"""The bytes of a row's header: xmin, xmax, flags, row id."""

XMAX_AT = 8

_HEADERS_AT_ONCE = 8192
_SKIP_AT_ONCE = 4096


@attrs.frozen
class Variant:
    """What a file leaves out that its version has: releases that wrote a version before it was complete.

    Attributes:
        tail_fields: How many of the fields that version 12 added to indexes there are.
        runtime_defaults: Whether version 15 has its block of defaults that are evaluated at run time.
        real_as_lsn: Whether columns with the tag of PG_LSN are REAL, as one build of version 59 wrote them.
    """

    tail_fields: int = TAIL_FIELDS
    runtime_defaults: bool = True
    real_as_lsn: bool = False


WHOLE = Variant()


@attrs.define
class _Draft:
    """A table while it is read.

    Attributes:
        cursor: Where reading stands.
        variant: What the file leaves out.
        fields: What becomes of the table.
        columns: Its columns.
        of_columns: What is said of single columns, by their positions.
        extras: What is said of the table.
    """

    cursor: Cursor
    variant: Variant
    fields: dict[str, Any] = attrs.field(factory=dict)
    columns: tuple[Column, ...] = ()
    of_columns: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    extras: dict[str, Any] = attrs.field(factory=dict)

    def position(self, cursor: Cursor) -> int:
        """A column's position."""
        found = cursor.u16()
        if found >= len(self.columns):
            raise cursor.malformed(f"a column at position {found} of {len(self.columns)}")
        return found

    def table(self) -> Table:
        """The table, read to its end."""
        columns = tuple(
            attrs.evolve(column, extras=self.of_columns.get(place, {}))
            for place, column in enumerate(self.columns)
        )
        found = Table(columns=columns, extras=self.extras, **self.fields)
        known = sum(found.cold.values())
        for index in found.indexes:
            count = sum(index.cold.values())
            if count > known:
                raise self.cursor.malformed(
                    f"the index {index.name} of {found.name} speaks of {number_of(count, 'row')} in "
                    f"segments, of which {known} can be told by their keys"
                )
        return found


def read_table(cursor: Cursor, variant: Variant = WHOLE) -> Table:
    """Read a table; its rows are walked through, so that what follows them is found.

    Raises:
        SpgFileError: It cannot be read.
    """
    draft = _Draft(cursor, variant)
    for version, block in _BLOCKS:
        if cursor.version >= version:
            block(draft)
    return draft.table()


# -- name, columns, rows, indexes -----------------------------------------------------------------------------


def _name(draft: _Draft) -> None:
    draft.fields["name"] = draft.cursor.text()


def _columns(draft: _Draft) -> None:
    draft.columns = draft.cursor.list16(lambda at: _column(at, draft.variant), 6)


def _column(cursor: Cursor, variant: Variant) -> Column:
    name, kind, nullable = cursor.text(), read_type(cursor), cursor.truth()
    if variant.real_as_lsn and kind.tag == LSN_TAG:
        kind = SpgType(REAL_TAG)
    found, default = cursor.flag(), None
    if found:
        default = _tagged(cursor)
    return Column(name, kind, nullable, default, found, cursor.truth())


def _tagged(cursor: Cursor) -> Any:
    """A value that says what it is."""
    decode, offset = tagged_decoder(cursor.version), cursor.offset
    wanted = 1
    while True:
        cursor.need(wanted)
        try:
            value, cursor.at = decode(cursor.buffer, cursor.at)
        except Short as short:
            wanted = short.end - cursor.at
        except (struct.error, IndexError):
            wanted = len(cursor.buffer) - cursor.at + 1
        except UnknownTagInBody as error:
            raise cursor.fault(UnknownSpgTag, f"in a default value, {error} is not known", offset) from None
        except (BadBody, UnicodeDecodeError) as error:
            raise cursor.malformed(f"a default value cannot be read: {error}") from None
        else:
            return value


def _rows(draft: _Draft) -> None:
    cursor = draft.cursor
    count = cursor.checked(cursor.u32(), (len(draft.columns) + 7) // 8)
    if count and not draft.columns:
        raise cursor.malformed(f"{number_of(count, 'row')} of a table without a column")
    draft.fields |= {"rows_at": cursor.offset, "stored": count}
    skip_rows(cursor, RowDecoder([column.type for column in draft.columns], cursor.version), count)
    draft.fields["rows_end"] = cursor.offset


def skip_rows(cursor: Cursor, decoder: RowDecoder, count: int) -> None:
    """Go on by so many rows."""
    while count:
        try:
            done, cursor.at, needed = decoder.skip(cursor.buffer, cursor.at, min(count, _SKIP_AT_ONCE))
        except RowError as error:
            raise row_fault(cursor, error) from error
        count -= done
        if needed:
            need_row(cursor, needed)


def need_row(cursor: Cursor, end: int) -> None:
    """Have the bytes of the next row at hand.

    Args:
        cursor: At the row's first byte.
        end: How many bytes the buffer must have.
    """
    at_hand = len(cursor.buffer) - cursor.at
    cursor.need(max(end - cursor.at, at_hand + 1))


def row_fault(cursor: Cursor, error: RowError) -> SpgFileError:
    """The error of a row that cannot be read, with its place."""
    offset = cursor.offset - cursor.at + error.at
    if isinstance(error.reason, UnknownTagInBody):
        return cursor.fault(UnknownSpgTag, f"in a row that starts here, {error} is not known", offset)
    return cursor.fault(MalformedSpgFile, f"a row that starts here cannot be read: {error}", offset)


def _indexes(draft: _Draft) -> None:
    count, fields = len(draft.columns), draft.variant.tail_fields
    draft.fields["indexes"] = draft.cursor.list16(lambda at: read_index(at, count, fields), 5)


# -- constraints ----------------------------------------------------------------------------------------------


def _foreign_keys(draft: _Draft) -> None:
    draft.fields["foreign_keys"] = draft.cursor.list16(lambda at: _foreign_key(at, len(draft.columns)), 9)


def _foreign_key(cursor: Cursor, columns: int) -> ForeignKey:
    name, own, parent = cursor.optional(Cursor.text), positions(columns)(cursor), cursor.text()
    theirs = cursor.list16(Cursor.u16, 2)
    if len(own) != len(theirs):
        raise cursor.malformed(f"a foreign key of {number_of(len(own), 'column')} that refers to {len(theirs)}")
    found = ForeignKey(name, own, parent, theirs, _action(cursor), _action(cursor))
    for version in (55, 79):
        if cursor.version >= version:
            cursor.u8()
    return found


def _action(cursor: Cursor) -> Any:
    found = cursor.u8()
    if found >= len(ACTIONS):
        raise cursor.unknown("the action of a foreign key", found, cursor.offset - 1)
    return ACTIONS[found]


def _uniqueness(draft: _Draft) -> None:
    def one(cursor: Cursor) -> Uniqueness:
        primary, columns = cursor.truth(), positions(len(draft.columns))(cursor)
        return Uniqueness(primary, columns, cursor.version >= 23 and cursor.truth())

    draft.fields["uniqueness"] = draft.cursor.list16(one, 3)


def _checks(draft: _Draft) -> None:
    draft.fields["checks"] = tuple(map(Check, draft.cursor.list16(Cursor.text, 2)))


def _names(draft: _Draft) -> None:
    for field in ("checks", "uniqueness"):
        named = draft.fields[field]
        names = draft.cursor.list16(lambda at: at.optional(Cursor.text))
        if len(names) != len(named):
            raise draft.cursor.malformed(f"{len(names)} names for {len(named)} {field}")
        draft.fields[field] = tuple(attrs.evolve(one, name=name) for one, name in zip(named, names, strict=True))


def _not_valid(draft: _Draft) -> None:
    checks = list(draft.fields["checks"])
    for place in draft.cursor.list16(Cursor.u16, 2):
        if place >= len(checks):
            raise draft.cursor.malformed(f"a check at position {place} of {len(checks)}")
        checks[place] = attrs.evolve(checks[place], valid=False)
    draft.fields["checks"] = tuple(checks)


# -- row headers ----------------------------------------------------------------------------------------------


def _headers(draft: _Draft) -> None:
    cursor = draft.cursor
    count = cursor.u32()
    if count != draft.fields["stored"]:
        raise cursor.malformed(f"{number_of(count, 'row header')} for {number_of(draft.fields['stored'], 'row')}")
    cursor.checked(count, ROW_HEADER)
    draft.fields["headers_at"] = cursor.offset
    dead = 0
    while count:
        part = min(count, _HEADERS_AT_ONCE)
        dead += len(dead_among(cursor.take(part * ROW_HEADER)))
        count -= part
    draft.fields["dead"] = dead
    cursor.u64()


def dead_among(headers: bytes) -> list[int]:
    """Which of some rows are dead, by their headers: numbers from 0."""
    count = len(headers) // ROW_HEADER
    lanes = [headers[XMAX_AT + lane :: ROW_HEADER] for lane in range(8)]
    if not any(lane.strip(b"\0") for lane in lanes):
        return []
    return [number for number in range(count) if any(lane[number] for lane in lanes)]


# -- what is said of columns and of the table -----------------------------------------------------------------


def _sparse(name: str, reader: Callable[[Cursor], Any], smallest: int = 3) -> Callable[[_Draft], None]:
    """A block of what only some columns have."""

    def read(draft: _Draft) -> None:
        for place, value in draft.cursor.list16(lambda at: (draft.position(at), reader(at)), smallest):
            draft.of_columns.setdefault(place, {})[name] = value

    return read


def _marked(name: str) -> Callable[[_Draft], None]:
    """A block of columns that have a property."""
    return _sparse(name, lambda _: True, 2)


def _extra(name: str, reader: Callable[[Cursor], Any]) -> Callable[[_Draft], None]:
    """A block about the table."""

    def read(draft: _Draft) -> None:
        found = reader(draft.cursor)
        if found:
            draft.extras[name] = found

    return read


def _runtime_defaults(draft: _Draft) -> None:
    if draft.cursor.version > 15 or draft.variant.runtime_defaults:
        _sparse("runtime_default", text, 4)(draft)


def _exclusions(draft: _Draft) -> None:
    part = record(("column", draft.position), ("operator", text))
    one = record(("name", text), ("method", parts.optional(text)), ("parts", list16(part, 4)))
    _extra("exclusions", list16(one, 5))(draft)


_BLOCKS: tuple[tuple[int, Callable[[_Draft], None]], ...] = (
    (8, _name),
    (8, _columns),
    (8, _rows),
    (8, _indexes),
    (11, _extra("hot_tier_bytes", parts.optional(parts.u64))),
    (13, _foreign_keys),
    (15, _uniqueness),
    (15, _runtime_defaults),
    (23, _checks),
    (29, _sparse("enum", text, 4)),
    (30, _sparse("domain", text, 4)),
    (32, _sparse("on_update", text, 4)),
    (34, _sparse("collation", details.collation)),
    (35, _marked("unsigned")),
    (41, _sparse("enum_labels", details.texts, 4)),
    (42, _sparse("set_labels", details.texts, 4)),
    (49, _extra("partition", details.partition)),
    (50, _sparse("generated", text, 4)),
    (58, _sparse("default_sql", text, 4)),
    (59, _extra("row_security", details.security)),
    (53, _headers),
    (60, _names),
    (63, _sparse("composite", text, 4)),
    (64, _extra("owner", details.owner)),
    (65, _sparse("acl", acl, 4)),
    (72, _exclusions),
    (73, _sparse("identity_restart", parts.i64, 10)),
    (81, _sparse("mysql_integer", details.mysql_width)),
    (82, _sparse("mysql_fraction_digits", u8)),
    (93, _marked("mysql_timestamp")),
    (94, _sparse("mysql_float", details.pair, 4)),
    (87, _not_valid),
    (88, _sparse("collate", text, 4)),
    (89, _extra("constraint_timing", list16(u8))),
    (100, _marked("identity_always")),
)
"""In the order of the file, which is not that of the versions."""

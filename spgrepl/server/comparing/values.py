"""What a comparison says over HTTP, as JSON: values of rows with their types, keys, ranges, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from spgrepl.base.histories import histories_of, histories_values
from spgrepl.comparing.ends import Standing
from spgrepl.comparing.table_reader import KeyRange, Layout
from spgrepl.postgresql.column_types import ColumnType
from spgrepl.rows.values import RawText

MOST_ROWS = 500
"""So many rows are in one answer."""

MOST_STOPS = 500
"""So many keys at which a range is cut are in one answer."""

MOST_BYTES = 4 * 1024 * 1024
"""An answer with so many bytes of rows takes no further row."""


def value_to_json(value: Any) -> Any:
    """A value of a row: a blob, and text that is not UTF-8, are objects."""
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, RawText):
        return {"text": value.content.hex()}
    return value


def value_from_json(found: Any) -> Any:
    """Read what `value_to_json` wrote.

    Raises:
        ValueError, KeyError: It is something else.
    """
    if not isinstance(found, dict):
        return found
    if "text" in found:
        return RawText(bytes.fromhex(found["text"]))
    return bytes.fromhex(found["bytes"])


def row_to_json(row: Sequence[Any] | None) -> list[Any] | None:
    """The values of a row or key; None stands for none."""
    return None if row is None else [value_to_json(value) for value in row]


def row_from_json(found: Iterable[Any] | None) -> tuple[Any, ...] | None:
    """Read what `row_to_json` wrote."""
    return None if found is None else tuple(value_from_json(value) for value in found)


def range_to_json(one: KeyRange) -> list[Any]:
    """A range of keys."""
    return [row_to_json(one.above), row_to_json(one.last), one.nameless]


def range_from_json(found: Sequence[Any]) -> KeyRange:
    """Read what `range_to_json` wrote."""
    above, last, nameless = found
    return KeyRange(row_from_json(above), row_from_json(last), bool(nameless))


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """What of a table is compared."""
    return attrs.asdict(layout)


def layout_from_json(found: dict[str, Any]) -> Layout:
    """Read what `layout_to_json` wrote.

    Raises:
        KeyError, TypeError, AttributeError: It is something else.
    """
    given = {**found, **{name: tuple(map(str, found[name])) for name in ("key", "columns")}}
    return Layout(**{**given, "types": tuple(ColumnType(**one) for one in found["types"])})


def standing_to_json(stands: Standing) -> dict[str, Any]:
    """Where a database stands."""
    return {"position": stands.position, "histories": histories_values(stands.histories)}


def standing_from_json(found: dict[str, Any]) -> Standing:
    """Read what `standing_to_json` wrote."""
    return Standing(int(found["position"]), histories_of(found["histories"]))


def size_of(row: Sequence[Any]) -> int:
    """About how many bytes a row has."""
    return sum(len(value) if isinstance(value, bytes | str) else 8 for value in row)

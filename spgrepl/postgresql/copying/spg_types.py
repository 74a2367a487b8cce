"""SPG's types one to one: a snapshot of SPG is a SQLite database by now, in which two tables say what was what.

Arrays and vectors are JSON there, and numbers with all their digits are texts: here they become what they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import apsw
import attrs

from spgrepl.postgresql.copying.defaults import constant_sql, default_value
from spgrepl.postgresql.copying.source_tables import SourceColumn
from spgrepl.postgresql.copying.type_map import MappedType
from spgrepl.postgresql.names import literal

_COLUMNS = "spgrepl_spg_columns"
_THERE = f"SELECT 1 FROM sqlite_master WHERE name = '{_COLUMNS}'"
_READ = f"SELECT column_name, spg_type FROM {_COLUMNS} WHERE table_name = ? ORDER BY position"
_LABEL = re.compile(
    r"(?P<name>[^(\[]+?)\s*(?:\((?P<numbers>[-\d,]+)\))?(?P<more>\s+USING \w+)?(?P<arrays>(?:\[\])*)\Z"
)

_ARRAY = "spgrepl_array"
_BYTES_ARRAY = "spgrepl_bytes_array"
_SPELLED = {
    "INT": "integer",
    "FLOAT": "double precision",
    "BOOL": "boolean",
    "YEAR": "smallint",
    "HSTORE": "jsonb",
    "BIT": "bit varying",
    "INT2VECTOR": "smallint[]",
    "OIDVECTOR": "oid[]",
    '"char"': '"char"',
}
_OF_ARRAYS = frozenset({"INT2VECTOR", "OIDVECTOR"})
_AS_TEXT = frozenset({"NUMERIC", "YEAR", "MONEY"})


@attrs.frozen
class SpgColumn:
    """A column of SPG.

    Attributes:
        mapped: Its type in the server.
        own: How its values are written, as `copy_lines.LineSource` has it; None for the usual way.
    """

    mapped: MappedType
    own: str | None = None


def spg_columns(snapshot: apsw.Connection, table: str) -> dict[str, SpgColumn]:
    """The columns of a table by name; empty where the snapshot is not one of SPG.

    Args:
        snapshot: The database that was made of the snapshot. What writes arrays is registered there.
        table: The table.
    """
    if snapshot.execute(_THERE).fetchone() is None:
        return {}
    snapshot.create_scalar_function(_ARRAY, _array_text, 1, deterministic=True)
    snapshot.create_scalar_function(_BYTES_ARRAY, _bytes_array_text, 1, deterministic=True)
    return {str(name): spg_column(str(label)) for name, label in snapshot.execute(_READ, (table,))}


def spg_default(snapshot: apsw.Connection, column: SourceColumn, columns: Mapping[str, SpgColumn]) -> str | None:
    """The default of a column that is a constant, as SQL; None where it has none.

    Args:
        snapshot: As for `spg_columns`.
        column: The column.
        columns: What `spg_columns` gives.
    """
    if column.default is None:
        return None
    of, value = columns[column.name], default_value(column)
    if of.own is not None and isinstance(value, str):
        return literal(str(snapshot.execute(f"SELECT {of.own.format('?1')}", (value,)).get))
    return constant_sql(value, of.mapped)


def spg_column(label: str) -> SpgColumn:
    """What becomes of a type of SPG.

    Args:
        label: The type as SPG's SQL has it.
    """
    found = _LABEL.match(label)
    if found is None:
        return SpgColumn(MappedType("text"))
    name, numbers, arrays = found["name"], found["numbers"], found["arrays"]
    if name == "VECTOR":
        return SpgColumn(MappedType("real[]"), f"{_ARRAY}({{0}})")
    sql = _sized(name, numbers) + arrays
    if arrays or name in _OF_ARRAYS:
        return SpgColumn(MappedType(sql), f"{_BYTES_ARRAY if name == 'BYTEA' else _ARRAY}({{0}})")
    if name in _AS_TEXT:
        return SpgColumn(MappedType(sql), "{0}")
    if name in ("FLOAT", "REAL"):
        # NaN and the infinite are texts in SQLite.
        return SpgColumn(MappedType(sql), "CASE typeof({0}) WHEN 'text' THEN {0} ELSE spgrepl_float({0}) END")
    return SpgColumn(MappedType(sql))


def _sized(name: str, numbers: str | None) -> str:
    """A type with its length, or its digits, where it has any."""
    given = [int(one) for one in numbers.split(",")] if numbers else []
    if name == "NUMERIC":
        return f"numeric({given[0]},{given[1]})" if len(given) == 2 and given[0] > 0 else "numeric"
    if name in ("VARCHAR", "CHAR", "BIT", "BIT VARYING") and given and given[0] > 0:
        return f"{name.lower()}({given[0]})"
    if name == "CHAR":
        return "text"
    return _SPELLED.get(name, name.lower())


def _array_text(*values: Any) -> str:
    return array_of(str(values[0]))


def _bytes_array_text(*values: Any) -> str:
    return array_of(str(values[0]), "\\x")


def array_of(text: str, prefix: str = "") -> str:
    """An array that is written as JSON, as PostgreSQL writes it.

    Args:
        text: The JSON.
        prefix: What stands before each of its texts.
    """
    return _array(json.loads(text, parse_float=str, parse_int=str), prefix)


def _array(value: Any, prefix: str) -> str:
    if isinstance(value, list):
        return "{" + ",".join(_array(one, prefix) for one in value) + "}"
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "t" if value else "f"
    escaped = (prefix + str(value)).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

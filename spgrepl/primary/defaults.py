"""Column defaults that are evaluated anew for each row, such as CURRENT_TIMESTAMP, and INSERTs that rely on them.

The default stays in the table's definition as it was written. An INSERT that leaves such a column out is written
with the column and its value, so that a copy does not evaluate the default itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import attrs

from spgrepl.errors import NotReplayable
from spgrepl.primary.determinism import Moment, apply_edits, expression_value, find_dependent
from spgrepl.primary.functions import Evaluator, explain
from spgrepl.primary.inserts import Insert, RowSource, parse_insert
from spgrepl.sqltext import literal, quote_name, significant_tokens

_QUERY = """
SELECT m.name, x.name, x.dflt_value
FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS x
WHERE m.type = 'table' AND x.dflt_value IS NOT NULL AND x.hidden = 0
ORDER BY m.name, x.cid
"""


@attrs.frozen
class DependentDefault:
    """A column whose default depends on the machine or the moment.

    Attributes:
        column: The column's name.
        expression: The default, as it stands in the table's definition.
        function: What it calls that a copy would answer otherwise.
    """

    column: str
    expression: str
    function: str


TableDefaults = Mapping[str, tuple[DependentDefault, ...]]
"""The dependent defaults of each table that has any, by the table's name in small letters."""


def read_dependent_defaults(connection: sqlite3.Connection) -> TableDefaults:
    """Read from a database's schema which columns have defaults that depend on machine or moment."""
    found: dict[str, tuple[DependentDefault, ...]] = {}
    for table, column, expression in connection.execute(_QUERY).fetchall():
        function = find_dependent(significant_tokens(expression))
        if function is not None:
            key = table.lower()
            found[key] = (*found.get(key, ()), DependentDefault(column, expression, function))
    return found


def fill_in_defaults(text: str, defaults: TableDefaults, evaluator: Evaluator, moment: Moment) -> str:
    """Write the values of dependent defaults into an INSERT that leaves their columns out.

    Args:
        text: A statement that changes rows.
        defaults: The defaults of the database's tables.
        evaluator: Computes the values, for each row anew.
        moment: What they are computed with.

    Returns:
        The statement with columns and values added, or unchanged where no such column is left out.

    Raises:
        NotReplayable: The values cannot be added; the message names the column.
    """
    lowered = text.lower()
    if not any(table in lowered for table in defaults):
        return text
    insert = parse_insert(significant_tokens(text))
    if insert is None:
        return text
    missing = _left_out(insert, defaults)
    if not missing:
        return text
    if insert.source is RowSource.QUERY:
        named = missing[0]
        raise NotReplayable(
            f"the rows of this query get the default of column {named.column} ({named.expression}), and "
            f"{explain(named.function)}. Name the column in the INSERT and its value in the query",
            text,
        )
    return apply_edits(text, _edits(text, insert, missing, evaluator, moment))


def _left_out(insert: Insert, defaults: TableDefaults) -> list[DependentDefault]:
    if insert.source is not RowSource.DEFAULT and insert.columns is None:
        return []
    named = {column.lower() for column in insert.columns or ()}
    return [default for default in defaults.get(insert.table.lower(), ()) if default.column.lower() not in named]


def _edits(
    text: str, insert: Insert, missing: list[DependentDefault], evaluator: Evaluator, moment: Moment
) -> list[tuple[int, int, str]]:
    names = ", ".join(quote_name(default.column) for default in missing)

    def values() -> str:
        return ", ".join(_value(text, default, evaluator, moment) for default in missing)

    if insert.source is RowSource.DEFAULT:
        return [(insert.list_end, insert.source_end, f" ({names}) VALUES ({values()})")]
    edits = [(insert.list_end, insert.list_end, f", {names}")]
    edits += [(end, end, f", {values()}") for end in insert.tuples]
    return edits


def _value(text: str, default: DependentDefault, evaluator: Evaluator, moment: Moment) -> str:
    try:
        return literal(expression_value(default.expression, evaluator, moment))
    except (NotReplayable, sqlite3.Error) as error:
        raise NotReplayable(
            f"column {default.column} is left out, and its default ({default.expression}) has no value that can "
            f"be written for it: {error}. Name the column and give its value",
            text,
        ) from error

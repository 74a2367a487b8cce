"""What a table of a SQLite database looks like, and how two of them differ."""

from __future__ import annotations

import attrs

from spgrepl.engines.targets.declarations import Declarations, read_declarations
from spgrepl.sqlite.any_connection import SqlConnection
from spgrepl.sqlite.state import OWN_PREFIX
from spgrepl.text.sqltext import fold_ascii, significant_tokens

_ROW_NUMBER_NAMES = ("rowid", "_rowid_", "oid")
_GENERATED = frozenset({2, 3})


@attrs.frozen
class Column:
    """A column, as ``pragma table_xinfo`` tells it.

    Attributes:
        name: Its name.
        type: Its declared type.
        not_null: Whether it is declared NOT NULL.
        default: The text of its default; None without one.
        key: Its place in the primary key, from 1; 0 outside of it.
        hidden: 2 and 3 say that it is generated.
    """

    name: str
    type: str
    not_null: bool
    default: str | None
    key: int
    hidden: int

    @property
    def stored(self) -> bool:
        """Whether statements give it a value; a generated column has its own."""
        return self.hidden not in _GENERATED

    def same_as(self, other: Column) -> bool:
        """Whether another column is declared alike. SQLite's names know no case."""
        return self._folded() == other._folded()

    def _folded(self) -> Column:
        return attrs.evolve(self, name=fold_ascii(self.name), type=fold_ascii(self.type))

    def __str__(self) -> str:
        parts = [self.name, self.type or "(no type)"]
        if self.not_null:
            parts.append("NOT NULL")
        if self.default is not None:
            parts.append(f"DEFAULT {self.default}")
        if self.key:
            parts.append(f"PRIMARY KEY ({self.key})")
        if not self.stored:
            parts.append("GENERATED")
        return " ".join(parts)


UniqueKey = tuple[str, ...]
"""What a unique index is over: columns with collation and direction, and its text where it has expressions."""


@attrs.frozen
class TableShape:
    """What statements of a log may depend on.

    Attributes:
        name: The table's name.
        sql: Its CREATE statement.
        columns: Its columns, in order.
        without_rowid: Whether it is WITHOUT ROWID.
        strict: Whether it is STRICT.
        autoincrement: Whether its row numbers are AUTOINCREMENT.
        unique: Its unique indexes, those of its constraints included.
        declared: What only its CREATE statement tells.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    without_rowid: bool
    strict: bool
    autoincrement: bool
    unique: frozenset[UniqueKey]
    declared: Declarations

    @property
    def row_number(self) -> str | None:
        """A name that stands for the row number; None without one, or where columns have all such names."""
        names = {fold_ascii(column.name) for column in self.columns}
        free = (name for name in _ROW_NUMBER_NAMES if name not in names)
        return None if self.without_rowid else next(free, None)

    def without_later(self, count: int) -> TableShape:
        """This table without the columns after so many, and without what may have come with them."""
        if len(self.columns) <= count:
            return self
        later = {fold_ascii(column.name) for column in self.columns[count:]}
        unique = frozenset(
            key for key in self.unique if not any(part.partition(" COLLATE ")[0] in later for part in key)
        )
        columns = self.columns[:count]
        return attrs.evolve(self, columns=columns, unique=unique, declared=self.declared.without(later))

    def difference(self, present: TableShape, since: str = "on the master") -> str | None:
        """What tells this table from another one; None where nothing does.

        Args:
            present: The table that is there already.
            since: Where, or when, the table was as this one is.
        """
        for number in range(max(len(self.columns), len(present.columns))):
            wanted, found = _nth(self.columns, number), _nth(present.columns, number)
            if wanted is None or found is None or not wanted.same_as(found):
                return f"column {number + 1} is {_shown(found)} here and {_shown(wanted)} {since}"
        for what in ("without_rowid", "strict", "autoincrement"):
            if getattr(self, what) != getattr(present, what):
                here, there = ("", "not ") if getattr(present, what) else ("not ", "")
                return f"it is {here}{what.upper().replace('_', ' ')} here and {there}so {since}"
        if self.unique != present.unique:
            return f"its unique indexes are on {_keys(present)} here and on {_keys(self)} {since}"
        return self.declared.difference(present.declared, since)


def _nth(columns: tuple[Column, ...], number: int) -> Column | None:
    return columns[number] if number < len(columns) else None


def _shown(column: Column | None) -> str:
    return "missing" if column is None else f"'{column}'"


def _keys(shape: TableShape) -> str:
    return ", ".join(sorted(f"({', '.join(key)})" for key in shape.unique)) or "nothing"


# -- reading --------------------------------------------------------------------------------------------------


def list_tables(connection: SqlConnection) -> dict[str, str]:
    """The tables of a database by name, with their kind: ``table`` or ``virtual``.

    Tables of SQLite and of spgrepl, and those that virtual tables keep their content in, are left out.
    """
    query = "SELECT name, type FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')"
    return {
        name: kind
        for name, kind in connection.execute(query)
        if not fold_ascii(name).startswith(("sqlite_", OWN_PREFIX))
    }


def read_shape(connection: SqlConnection, table: str) -> TableShape | None:
    """Look at a table; None where there is no ordinary table of that name.

    Args:
        connection: The database; others that are attached to it do not count.
        table: The table's name, in any case.
    """
    query = (
        "SELECT m.name, m.sql, l.wr, l.strict FROM main.sqlite_master AS m, pragma_table_list(?1) AS l "
        "WHERE m.type = 'table' AND m.name = ?1 COLLATE NOCASE AND l.schema = 'main' AND l.type = 'table'"
    )
    row = connection.execute(query, (table,)).fetchone()
    if row is None:
        return None
    name, sql, without_rowid, strict = row
    columns = connection.execute(
        "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid",
        (name,),
    )
    return TableShape(
        name,
        sql,
        tuple(
            Column(name, type_, bool(not_null), default, key, hidden)
            for name, type_, not_null, default, key, hidden in columns
        ),
        bool(without_rowid),
        bool(strict),
        any(token.upper == "AUTOINCREMENT" for token in significant_tokens(sql)),
        frozenset(_unique_keys(connection, name)),
        read_declarations(sql),
    )


def _unique_keys(connection: SqlConnection, table: str) -> list[UniqueKey]:
    query = (
        "SELECT l.name, l.partial, m.sql FROM pragma_index_list(?, 'main') AS l "
        "LEFT JOIN main.sqlite_master AS m ON m.type = 'index' AND m.name = l.name WHERE l.\"unique\""
    )
    return [
        _unique_key(connection, index, bool(partial), sql)
        for index, partial, sql in connection.execute(query, (table,)).fetchall()
    ]


def _unique_key(connection: SqlConnection, index: str, partial: bool, sql: str | None) -> UniqueKey:
    query = "SELECT name, coll, \"desc\" FROM pragma_index_xinfo(?, 'main') WHERE key ORDER BY seqno"
    columns = connection.execute(query, (index,)).fetchall()
    parts = [
        f"{fold_ascii(name or '(expression)')} COLLATE {collation}{' DESC' if descending else ''}"
        for name, collation, descending in columns
    ]
    if sql is not None and (partial or any(name is None for name, _, _ in columns)):
        # Only the text tells expressions and conditions apart. It begins after the index's and the table's names.
        tokens = significant_tokens(sql)
        first = next(place for place, token in enumerate(tokens) if token.text == "(")
        parts.append(" ".join(token.upper or token.text for token in tokens[first:]))
    return tuple(parts)

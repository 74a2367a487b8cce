"""Comparing two SQLite databases: schema and rows, values and their types, in constant memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

from spgrepl.errors import LocalFilesDamaged

_IGNORED = "name NOT LIKE 'spgrepl\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"
_SHOWN = 200


@attrs.frozen
class Comparison:
    """What a comparison found.

    Attributes:
        tables: How many tables both databases have in common.
        rows: How many rows were found equal.
        differences: What differs, one text for each table or other object of the schema.
    """

    tables: int
    rows: int
    differences: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def compare_databases(first: Path, second: Path, tables: Collection[str] | None = None) -> Comparison:
    """Compare two SQLite databases table by table, as they are now, while others may write them.

    Tables whose names begin with ``spgrepl_`` or ``sqlite_stat`` are left out: they say how a copy was made, not
    what it holds. Rows are compared in the order of their rowid or primary key, their values with their types.

    Args:
        first: A database.
        second: The other one.
        tables: The tables to compare, with their indexes and triggers, such as those that a subscriber asked for;
            None for all. One that neither database has is a difference.

    Raises:
        FileNotFoundError: One of them does not exist.
        LocalFilesDamaged: One of them is no SQLite database, or is damaged.
    """
    with _opened(first) as one, _opened(second) as other:
        differences: list[str] = []
        wanted = None if tables is None else {name.lower() for name in tables}
        schemas = _schema(one, wanted), _schema(other, wanted)
        known = {name.lower() for schema in schemas for kind, name in schema if kind == "table"}
        differences += [f"table {name}: neither database has it" for name in sorted((wanted or set()) - known)]
        for kind, name in sorted(schemas[0].keys() | schemas[1].keys()):
            texts = [schema.get((kind, name)) for schema in schemas]
            if texts[0] != texts[1]:
                differences.append(f"{kind} {name}: {_two(first, _ddl(texts[0]), second, _ddl(texts[1]))}")
        rows = 0
        common = sorted(name for kind, name in schemas[0].keys() & schemas[1].keys() if kind == "table")
        for table in common:
            equal, difference = _compare_rows(one, other, table, first, second)
            rows += equal
            if difference is not None:
                differences.append(difference)
    return Comparison(len(common), rows, tuple(differences))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for reading, at one moment of its life."""
    if not path.exists():
        raise FileNotFoundError(2, "No such file", str(path))
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)
    try:
        # Text that is not UTF-8 is compared byte for byte, and stays apart from blobs.
        connection.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA busy_timeout = 10000")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield connection
    except sqlite3.DatabaseError as error:
        raise LocalFilesDamaged(
            f"{path} (or the database that it is compared with) cannot be read: {error}"
        ) from error
    finally:
        connection.close()


def _schema(connection: sqlite3.Connection, wanted: set[str] | None) -> dict[tuple[str, str], str | None]:
    """The SQL of every table, index, view and trigger, by kind and name; of those of some tables, where named."""
    ours = "tbl_name LIKE 'spgrepl\\_%' ESCAPE '\\'"
    query = f"SELECT type, name, tbl_name, sql FROM sqlite_master WHERE {_IGNORED} AND NOT {ours}"
    return {
        (kind, name): sql
        for kind, name, table, sql in connection.execute(query)
        if wanted is None or table.lower() in wanted
    }


def _compare_rows(
    one: sqlite3.Connection, other: sqlite3.Connection, table: str, first: Path, second: Path
) -> tuple[int, str | None]:
    """Compare the rows of a table: how many are equal, and the first difference."""
    columns = [_columns(connection, table) for connection in (one, other)]
    if columns[0] != columns[1]:
        return 0, None  # the schema's difference says it
    query = f"SELECT * FROM {_quoted(table)} ORDER BY {_order(one, table)}"
    rows = one.execute(query), other.execute(query)
    equal = 0
    while True:
        left, right = next(rows[0], None), next(rows[1], None)
        if left is None and right is None:
            return equal, None
        if left != right or _types(left) != _types(right):
            what = _two(first, _row(left), second, _row(right))
            return equal, f"table {table}, row {equal + 1}: {what}"
        equal += 1


def _types(row: tuple[Any, ...] | None) -> list[type]:
    return list(map(type, row or ()))


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [
        name for (name,) in connection.execute("SELECT name FROM pragma_table_xinfo(?) ORDER BY cid", (table,))
    ]


def _order(connection: sqlite3.Connection, table: str) -> str:
    """What to order a table's rows by: its rowid, its primary key, or all columns where neither can be named."""
    columns = {name.lower() for name in _columns(connection, table)}
    without_rowid = connection.execute(
        "SELECT wr FROM pragma_table_list(?) WHERE schema = 'main'", (table,)
    ).fetchone()
    if without_rowid is not None and without_rowid[0]:
        keys = connection.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,))
        return ", ".join(_quoted(name) for (name,) in keys)
    for rowid in ("rowid", "_rowid_", "oid"):
        if rowid not in columns:
            return rowid
    return ", ".join(str(number + 1) for number in range(len(columns)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _ddl(sql: str | None) -> str:
    return "nothing of that name" if sql is None else _cut(" ".join(sql.split()))


def _row(row: tuple[Any, ...] | None) -> str:
    return "no further row" if row is None else f"({_cut(', '.join(_cut(repr(value)) for value in row))})"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _two(first: Path, left: str, second: Path, right: str) -> str:
    return f"{first} has {left}; {second} has {right}"

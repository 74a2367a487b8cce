"""The tables that are in a server: their columns, keys and types, looked up once and again where they change."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from spgrepl.errors import EngineFailed
from spgrepl.postgresql import driver
from spgrepl.postgresql.address import ServerAddress
from spgrepl.postgresql.column_types import ColumnType
from spgrepl.postgresql.names import SCHEMA, quoted
from spgrepl.postgresql.triggers import Acting, read_acting

_COLUMNS = """
SELECT c.oid::bigint, a.attname, format_type(a.atttypid, a.atttypmod),
       CASE WHEN t.typtype = 'd' THEN b.typname ELSE t.typname END,
       CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END,
       COALESCE(b.typcategory, t.typcategory) = 'A', a.attgenerated <> '', a.attnotnull, a.attidentity,
       pg_get_expr(d.adbin, d.adrelid), c.relkind::text, format_type(a.atttypid, NULL), a.attnum
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.oid = to_regclass(%s)
 ORDER BY a.attnum
"""
_CASCADES = """
SELECT EXISTS (SELECT 1 FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::bigint::oid
                AND (confdeltype NOT IN ('a', 'r') OR confupdtype NOT IN ('a', 'r')))
"""
_KEY = """
SELECT a.attname
  FROM pg_constraint k
  CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS u(attnum, place)
  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
 WHERE k.conrelid = to_regclass(%s) AND k.contype = 'p'
 ORDER BY u.place
"""
_NOTED = f"SELECT columns FROM {SCHEMA}.columns WHERE table_name = %s"
_MARKS = """
SELECT a.attrelid::bigint, string_agg(a.attnum::text || ':' || a.xmin::text, ',' ORDER BY a.attnum)
  FROM pg_attribute a WHERE a.attrelid = ANY(%s::bigint[]::oid[]) AND a.attnum > 0 GROUP BY 1
UNION ALL
SELECT -1, COALESCE(string_agg(oid::text || ':' || xmin::text, ',' ORDER BY oid), '') FROM pg_trigger
 WHERE NOT tgisinternal
UNION ALL
SELECT -2, COALESCE(string_agg(oid::text || ':' || xmin::text, ',' ORDER BY oid), '') FROM pg_rewrite
 WHERE rulename <> '_RETURN'
"""
# An error where it is not what is expected: what is sent after it, unseen, has no effect then.
_GUARD = f"""
SELECT sqrt(CASE WHEN string_agg(oid || '=' || mark, ';' ORDER BY oid) = %s THEN 1 ELSE -1 END)
  FROM ({_MARKS}) AS marks(oid, mark)
"""

LOOSE = "loose"
"""What is noted of a column that takes numbers as text, too."""

GENERATED, ON_UPDATE, DEFAULT, ROUNDED, CASELESS = "generated", "on_update", "default", "rounded", "caseless"
OTHERWISE, LABELLED, LABELS, YEAR = "otherwise", "labelled", "labels", "year"
"""What sets a column at an SPG server and not here: what is noted of it is the SQL of each."""

OF_TABLE = ""
"""The name under which is noted what happens there to a whole table."""

TABLE_KINDS = frozenset("rp")
"""Ordinary and partitioned tables: what rows can be put into."""


_YEARS = range(1901, 2156)


@attrs.frozen
class Choice:
    """A column whose values are some among others.

    Attributes:
        name: The column, with its table.
        labels: What it may hold; none where it is a year.
    """

    name: str
    labels: tuple[str, ...] = ()

    def holds(self, text: str) -> bool:
        """Whether a text stands for itself in it."""
        if self.labels:
            return text in self.labels
        return len(text) == 4 and text.isascii() and text.isdigit() and int(text) in _YEARS

    def __str__(self) -> str:
        wanted = "the label itself, as a text" if self.labels else "four digits, from 1901 to 2155"
        kind = "an ENUM or SET" if self.labels else "a YEAR"
        return (
            f"the column {self.name} is {kind} at the master: what it makes of other values than its own is not "
            f"known here; write {wanted}"
        )


@attrs.frozen
class TableColumn:
    """A column of a table in the server.

    Attributes:
        name: Its name.
        type: Its type.
        generated: Whether its value is computed: rows give it none.
        not_null: Whether it takes no NULL.
        identity: ``a`` or ``d`` for an identity column.
        default: The text of its default; None without one.
        master: What sets it at an SPG server and not here, with its SQL: `GENERATED`, `ON_UPDATE`,
            `DEFAULT`; or that it rounds (`ROUNDED`), compares without case (`CASELESS`), or is of a type that
            statements mean something else by here (`OTHERWISE`), orders by labels (`LABELLED`), or holds only
            labels (`LABELS`, as JSON) or years (`YEAR`).
        number: The server's number of it.
    """

    name: str
    type: ColumnType
    generated: bool = False
    not_null: bool = False
    identity: str = ""
    default: str | None = None
    master: Mapping[str, str] = attrs.field(factory=dict)
    number: int = 0

    def choice(self, table: str) -> Choice | None:
        """What its values are some among, at an SPG server; None where they are any of its type.

        Args:
            table: The name of its table.
        """
        if LABELS in self.master:
            return Choice(f"{self.name} of {table}", tuple(json.loads(self.master[LABELS])))
        return Choice(f"{self.name} of {table}") if YEAR in self.master else None

    def __str__(self) -> str:
        return f"{self.name} {self.type.sql}{' NOT NULL' if self.not_null else ''}"


@attrs.frozen
class Table:
    """A table in the server.

    Attributes:
        oid: Its number.
        name: Its name.
        columns: Its columns by name, in order.
        key: The columns of its primary key.
        kind: ``r``, or another letter of ``pg_class.relkind``.
        master: What an SPG server does by itself, and this one does not, by the statement at which it does.
        cascades: Whether a foreign key changes rows of other tables when rows of this one are changed or deleted.
        acting: The triggers and rules that others have put on it, and on what foreign keys change with it.
    """

    oid: int
    name: str
    columns: Mapping[str, TableColumn]
    key: tuple[str, ...]
    kind: str = "r"
    master: Mapping[str, str] = attrs.field(factory=dict)
    cascades: bool = False
    acting: tuple[Acting, ...] = ()

    def as_values(self) -> dict[str, Any]:
        """What is compared to see that a table was changed, for JSON."""
        return {
            "columns": [[one.name, one.type.sql, one.not_null, one.generated] for one in self.columns.values()],
            "key": list(self.key),
        }


def read_table(connection: Any, name: str, with_own: bool = True) -> Table | None:
    """Look at a table; None where there is none of that name.

    Args:
        connection: A connection of psycopg.
        name: Its name, without a schema: it is looked for as the server's ``search_path`` says.
        with_own: Whether what spgrepl has noted of its columns is read; its schema has to be there.
    """
    given = quoted(name)
    rows = connection.execute(_COLUMNS, (given,)).fetchall()
    if not rows:
        return None
    noted: dict[str, Any] = {}
    if with_own and (row := connection.execute(_NOTED, (name,)).fetchone()) is not None:
        noted = json.loads(row[0])
    key = tuple(row[0] for row in connection.execute(_KEY, (given,)))
    columns = {
        row[1]: TableColumn(
            row[1],
            ColumnType(row[2], row[3], row[4], row[11], bool(row[5]), noted.get(row[1]) == LOOSE),
            bool(row[6]),
            bool(row[7]),
            str(row[8] or "").strip(),
            row[9],
            found if isinstance(found := noted.get(row[1]), dict) else {},
            int(row[12]),
        )
        for row in rows
    }
    oid = int(rows[0][0])
    cascades = bool(connection.execute(_CASCADES, (oid,)).fetchone()[0])
    kind, master = str(rows[0][10]), noted.get(OF_TABLE, {})
    return Table(oid, name, columns, key, kind, master, cascades, read_acting(connection, oid))


def read_marks(connection: Any, oids: Iterable[int]) -> dict[int, str]:
    """What changes whenever a table's columns do, by the table's number, or anybody's triggers and rules.

    Args:
        connection: A connection of psycopg.
        oids: The tables; none is locked.
    """
    found = connection.execute(_MARKS, (_oids(oids),))
    return {int(oid): str(mark) for oid, mark in found.fetchall()}


def difference_of(present: Table, columns: Sequence[str], key: Sequence[str], number: str | None) -> str | None:
    """What tells a table from one whose rows are to be in it; None where that fits into it.

    Args:
        present: The table in the server.
        columns: The columns of the other one.
        key: Those that name a row there.
        number: That of the row's number, where this names it.
    """
    if present.kind not in TABLE_KINDS:
        return "it is not a table there, but something else of that name"
    for name in columns:
        column = present.columns.get(name)
        if column is None:
            more = ", by which the master numbers the rows of a table without a primary key"
            return f"it has no column {name} there{more if name == number else ''}"
        if column.generated:
            return f"its column {name} is generated there"
    for name, column in present.columns.items():
        needs = column.not_null and column.default is None and not column.generated and not column.identity
        if needs and name not in columns:
            return f"its column {name} needs a value, and the master's table has no such column"
    if set(present.key) != set(key):
        here, there = (", ".join(one) or "nothing" for one in (present.key, key))
        return f"its primary key is on {here} there and on {there} on the master"
    return None


class TableBook:
    """The tables that were looked up, until something may have changed.

    Args:
        has_versions: Says whether the server tells that a row of its catalogue was changed.

    Attributes:
        has_versions: Says whether the server tells that a row of its catalogue was changed.
        read_statements: What was found out about statements on these tables, by their shape; forgotten with them.
    """

    def __init__(self, has_versions: Callable[[], bool] = lambda: True) -> None:
        self.has_versions = has_versions
        self._tables: dict[str, Table] = {}
        self._marks: dict[int, str] = {}
        self.read_statements: dict[str, object] = {}

    def get(self, connection: Any, name: str) -> Table | None:
        """A table; looked up where it is not known. None where there is none."""
        table = self._tables.get(name)
        if table is None:
            table = read_table(connection, name)
            if table is None:
                return None
            if self.has_versions():
                # What is of all tables is compared with what it was at the first.
                self._marks = {**read_marks(connection, [table.oid]), **self._marks}
                # Once more: what was changed in between is not missed.
                table = read_table(connection, name) or table
            self._tables[name] = table
        return table

    def forget(self) -> None:
        """Look everything up again."""
        self._tables.clear()
        self._marks.clear()
        self.read_statements.clear()

    def unchanged(self, connection: Any) -> bool:
        """Whether all tables are as they were when they were looked up; what is not known is."""
        if not self._marks:
            return True
        return read_marks(connection, self._marks) == self._marks

    def require_unchanged(self, connection: Any, address: ServerAddress, look: Callable[[], object]) -> None:
        """See that what was looked up holds still, before what was done by it is committed.

        Args:
            connection: The connection, with a transaction open.
            address: The server, for the error.
            look: Called where it does not; it may say why that is final.

        Raises:
            EngineFailed: It does not: everything is to be done once more.
        """
        if not self.unchanged(connection):
            self.forget()
            look()
            raise _changed(address)

    @contextlib.contextmanager
    def guarded(self, connection: Any, address: ServerAddress) -> Iterator[None]:
        """Send statements without waiting for answers; they fail where what was looked up does not hold still.

        Args:
            connection: The connection, with a transaction open.
            address: The server, for the error.

        Raises:
            EngineFailed: It does not: everything is to be done once more.
        """
        try:
            with connection.pipeline():
                if self._marks:
                    expected = ";".join(f"{oid}={self._marks[oid]}" for oid in sorted(self._marks))
                    connection.execute(_GUARD, (expected, _oids(self._marks)), prepare=True)
                yield
        except driver.load().errors.InvalidArgumentForPowerFunction as error:
            self.forget()
            raise _changed(address) from error


def _oids(marks: Iterable[int]) -> list[int]:
    """The numbers of tables among those of marks: others stand for what is of all tables."""
    return [oid for oid in marks if oid > 0]


def _changed(address: ServerAddress) -> EngineFailed:
    return EngineFailed(f"tables in {address} were changed while rows were written: once more")

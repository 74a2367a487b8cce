"""Schemas at random, of every kind that SQLite has."""

from __future__ import annotations

from random import Random

import attrs

_VALUES = (
    "NULL",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "0.1",
    "1e300*1e300",
    "-0.0",
    "5e-324",
    "'a'",
    "'A'",
    "''",
    "'it''s'",
    "'Ä'",
    "'ä'",
    "'1'",
    "'1.0'",
    "'a' || char(0) || 'b'",
    "CAST(x'ff41' AS TEXT)",
    "x''",
    "x'00ff'",
    "zeroblob(40)",
    "'; DROP TABLE t0; --'",
    "'/* origin */'",
    "random()",
    "randomblob(6)",
    "CURRENT_TIMESTAMP",
    "hex(randomblob(3))",
    "abs(random() % 5)",
    "datetime('now', 'subsec')",
    "date('now')",
)
_TYPES = ("INTEGER", "TEXT", "REAL", "BLOB", "NUMERIC", "", "VARCHAR(10)", "ANY")
_STRICT_TYPES = ("INTEGER", "TEXT", "REAL", "BLOB", "ANY")
_DEFAULTS = (" DEFAULT 7", " DEFAULT CURRENT_TIMESTAMP", " DEFAULT (random())", " DEFAULT 'd'", " DEFAULT NULL")
CONFLICTS = ("", "", "", " OR IGNORE", " OR REPLACE", " OR ABORT", " OR FAIL", " OR ROLLBACK")
_ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT")
_NAMES = ("t0", "t1", "T2", '"Ä"', '"select"', '"a b"', "Orders", '"it\'s"')


@attrs.define
class Table:
    """A table as far as the generator knows it.

    Attributes:
        name: The name as it is written.
        columns: The columns that may be written.
        keyed: A column, or columns, that a conflict may be on.
        rowid: Whether it has row ids.
        strict: Whether it is STRICT.
    """

    name: str
    columns: list[str]
    keyed: str
    rowid: bool
    strict: bool = False


class SchemaGenerator:
    """Makes the tables of one database, and what hangs on them.

    Args:
        chance: Where all choices come from.
        virtual: Whether virtual tables may be made.
    """

    def __init__(self, chance: Random, virtual: bool = True) -> None:
        self.chance = chance
        self._virtual = virtual
        self.tables: list[Table] = []
        self.views: list[str] = []
        self.full_text: list[str] = []
        self.boxes: list[str] = []
        self.numbers = iter(range(10**6))

    def some(self, *choices: str) -> str:
        return self.chance.choice(choices)

    def maybe(self, text: str, odds: float = 0.3) -> str:
        return text if self.chance.random() < odds else ""

    def value(self, column: str = "") -> str:
        """An expression, which for an id is mostly a small number."""
        if column == "id" and self.chance.random() < 0.7:
            return str(self.chance.randint(-1, 9))
        return self.chance.choice(_VALUES)

    # -- schemas ----------------------------------------------------------------------------------------------

    def schema(self) -> list[str]:
        """The statements that make a schema: one to three tables, and what hangs on them."""
        made = [self.create_table() for _ in range(self.chance.randint(1, 3))]
        made.append(
            "CREATE TABLE audit (what TEXT, at TEXT DEFAULT (datetime('now', 'subsec')), r DEFAULT (random()))"
        )
        self.tables.append(Table("audit", ["what", "at", "r"], "rowid", rowid=True))
        for _ in range(self.chance.randint(0, 3)):
            made.append(self.create_trigger())
        if self.chance.random() < 0.4:
            made += self.create_view()
        if self._virtual and self.chance.random() < 0.3:
            made.append(self._create_full_text())
        if self._virtual and self.chance.random() < 0.2:
            name = f"boxes{next(self.numbers)}"
            self.boxes.append(name)
            made.append(f"CREATE VIRTUAL TABLE {name} USING rtree(id, low, high)")
        if self.chance.random() < 0.4:
            made.append(self.create_index())
        return made

    def create_table(self) -> str:
        """A table with a key of some kind, columns of all kinds, and checks."""
        used = {table.name.lower() for table in self.tables}
        free = [name for name in _NAMES if name.lower() not in used] or [f"more{next(self.numbers)}"]
        name = self.chance.choice(free)
        strict = self.chance.random() < 0.2
        types = _STRICT_TYPES if strict else _TYPES
        kind = self.some("integer", "auto", "text", "pair", "none", "desc", "none", "integer")
        columns = {
            "integer": ["id"],
            "auto": ["id"],
            "text": ["id"],
            "pair": ["x", "y"],
            "none": [],
            "desc": ["id"],
        }[kind]
        parts = {
            "integer": ["id INTEGER PRIMARY KEY"],
            "auto": ["id INTEGER PRIMARY KEY AUTOINCREMENT"],
            "text": [f"id TEXT PRIMARY KEY{self.maybe(' COLLATE NOCASE')}{self.maybe(' NOT NULL')}"],
            "pair": [f"x {self.chance.choice(types) or 'ANY'}", f"y {self.chance.choice(types) or 'ANY'}"],
            "none": [],
            "desc": ["id INTEGER PRIMARY KEY DESC"],
        }[kind]
        for letter in "abc"[: self.chance.randint(1, 3)]:
            type_name = self.chance.choice(types) or ("ANY" if strict else "")
            parts.append(
                f"{letter} {type_name}{self.maybe(' NOT NULL', 0.1)}{self.maybe(' UNIQUE', 0.2)}"
                f"{self.maybe(self.chance.choice(_DEFAULTS))}{self.maybe(' COLLATE NOCASE', 0.1)}"
                f"{self.maybe(f' CHECK ({letter} <> 3)', 0.1)}"
            )
            columns.append(letter)
        if self.chance.random() < 0.25:
            parts.append(f"g {'ANY ' if strict else ''}AS (a || 'g'){self.some(' STORED', ' VIRTUAL')}")
        parents = [table for table in self.tables if table.keyed == "id"]
        if parents and self.chance.random() < 0.5:
            other = self.chance.choice(parents)
            parts.append(
                f"r {'ANY ' if strict else ''}REFERENCES {other.name} ON DELETE {self.chance.choice(_ACTIONS)} "
                f"ON UPDATE {self.chance.choice(_ACTIONS)}{self.maybe(' DEFERRABLE INITIALLY DEFERRED')}"
            )
            columns.append("r")
        parts += ["PRIMARY KEY (x, y)"] if kind == "pair" else []
        without = kind in ("integer", "text", "pair") and self.chance.random() < 0.3
        options = ", ".join([*(["STRICT"] if strict else []), *(["WITHOUT ROWID"] if without else [])])
        keyed = {"pair": "x, y", "none": "a"}.get(kind, "id")
        self.tables.append(Table(name, columns, keyed, not without, strict))
        return f"CREATE TABLE {name} ({', '.join(parts)}) {options}".strip()

    def create_trigger(self) -> str:
        """A trigger that writes to a table, to its own too, but does not fill it without end; or that raises."""
        table, other = self.table(), self.table()
        when = self.some("BEFORE", "AFTER")
        event = self.some("INSERT", "UPDATE", "DELETE", f"UPDATE OF {table.columns[-1]}")
        row = "OLD" if event == "DELETE" else "NEW"
        first = f"{row}.{table.columns[0]}"
        raised = self.some("IGNORE", "ABORT, 'no'")
        body = self.some(
            f"INSERT INTO audit (what) SELECT '{event[:6]}' || quote({first}) "
            f"WHERE (SELECT count(*) FROM audit) < 300",
            f"UPDATE {other.name} SET {other.columns[-1]} = {self.value()} WHERE {other.columns[0]} = {first}",
            f"DELETE FROM {other.name} WHERE {other.columns[0]} = {row}.{table.columns[-1]}",
            f"INSERT{self.chance.choice(CONFLICTS)} INTO {other.name} ({other.columns[0]}) "
            f"SELECT {self.value(other.columns[0])} WHERE (SELECT count(*) FROM {other.name}) < 300",
            f"SELECT RAISE({raised}) WHERE {first} = 2",
        )
        return (
            f"CREATE TRIGGER trigger{next(self.numbers)} {when} {event} ON {table.name} "
            f"{self.maybe('FOR EACH ROW ')}BEGIN {body}; END"
        )

    def create_view(self) -> list[str]:
        """A view, with triggers that write through it."""
        table = self.table()
        name = f"view{next(self.numbers)}"
        self.views.append(name)
        first = table.columns[0]
        return [
            f"CREATE VIEW {name} AS SELECT {first} AS v FROM {table.name} LIMIT 3",
            f"CREATE TRIGGER {name}_insert INSTEAD OF INSERT ON {name} BEGIN "
            f"INSERT OR IGNORE INTO {table.name} ({first}) VALUES (NEW.v); END",
            f"CREATE TRIGGER {name}_delete INSTEAD OF DELETE ON {name} BEGIN "
            f"DELETE FROM {table.name} WHERE {first} IS OLD.v; INSERT INTO audit (what) VALUES (OLD.v); END",
        ]

    def _create_full_text(self) -> str:
        name = f"words{next(self.numbers)}"
        self.full_text.append(name)
        return f"CREATE VIRTUAL TABLE {name} USING {self.some('fts5', 'fts4')}(body, title)"

    def create_index(self) -> str:
        """An index of some columns, an expression, or some rows."""
        table = self.table()
        column = self.chance.choice(table.columns)
        what = self.some(column, f"{column} COLLATE NOCASE", f"typeof({column})", f"{column} DESC")
        return (
            f"CREATE {self.maybe('UNIQUE ', 0.2)}INDEX index{next(self.numbers)} ON {table.name} ({what})"
            f"{self.maybe(f' WHERE {column} IS NOT NULL')}"
        )

    def table(self) -> Table:
        return self.chance.choice(self.tables)

"""ALTER TABLE, DROP, CREATE INDEX and RENAME: what SQLite can do of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from spgrepl.spg.values.types import SpgType
from spgrepl.spgsql.definitions import Draft, TableReader
from spgrepl.spgsql.language.lexing import TokenKind
from spgrepl.spgsql.language.stops import StatementStopped
from spgrepl.spgsql.language.types import INTEGER_RANGES, Family, family_of
from spgrepl.spgsql.tables import column_ddl
from spgrepl.spgsql.typed.defaults import CONSTANT, RUNTIME
from spgrepl.spgsql.typed.schema import ColumnInfo, TableInfo
from spgrepl.sqlite.own_names import kept_for_others
from spgrepl.text.sqltext import quote_name

ZONE = "timezone"
"""The name under which a time zone that a session has set is noted."""

SETTING = "setting"
"""The kind of such a note."""

_UTC = frozenset({"utc", "gmt", "default", "local", "etc/utc", "uct", "zulu", "0", "+00:00", "+0:00"})
_TABLE_WORDS = frozenset(
    "owner tablespace cluster replica validate enable disable set reset inherit no force".split()
)
_CHILDREN = """
SELECT DISTINCT one.name FROM sqlite_master AS one, pragma_foreign_key_list(one.name) AS key
WHERE one.type = 'table' AND key."table" = ? COLLATE NOCASE AND one.name <> ? COLLATE NOCASE
"""
_HARMLESS_TABLE_SETTINGS = frozenset("owner tablespace cluster replica validate reset".split())


class AlterationReader(TableReader):
    """Reads a statement that changes the schema, and does it in the open transaction."""

    def run(self) -> None:
        """Do what the statement says.

        Raises:
            StatementStopped: It cannot be done here as the master does it.
        """
        for words, method in self.known().items():
            if self.accept(*words.split()):
                method()
                self.accept_operator(";")
                self.expect_end()
                self.schema.forget()
                return
        raise StatementStopped("it is not translated")

    def known(self) -> dict[str, Callable[[], None]]:
        """What is known, by its first words."""
        return {
            "drop table": self._drop_table,
            "rename table": self._rename_tables,
            "create index": self._create_index,
            "create unique index": self._create_unique_index,
            "drop index": self._drop_index,
            "alter table": self._alter_table,
        }

    def _execute(self, sql: str) -> None:
        self.schema.connection.execute(sql)

    # -- DROP, RENAME, INDEX ----------------------------------------------------------------------------------

    def _drop_table(self) -> None:
        tolerant = self.accept("if", "exists")
        names = [self.table_name()]
        while self.accept_operator(","):
            names.append(self.table_name())
        self.accept("cascade")
        self.accept("restrict")
        left = [self.schema.table(name).name for name in names if not tolerant or self.schema.exists(name)]
        while left:
            # Children first: SQLite deletes the rows of a table that it drops, with what follows from that.
            table = next((one for one in left if not self._children(one) & {*left}), left[0])
            left.remove(table)
            self._check_alone(table, left)
            self._execute(f"DROP TABLE {quote_name(table)}")
            self.schema.drop_table(table)

    def _children(self, table: str) -> set[str]:
        """The tables with foreign keys that refer to a table, but for itself."""
        return {str(row[0]) for row in self.schema.connection.execute(_CHILDREN, (table, table)).fetchall()}

    def _check_alone(self, table: str, dropped: list[str]) -> None:
        """Refuse to drop a table that others refer to: SQLite would delete rows of those."""
        children = sorted(self._children(table) - {*dropped})
        if children:
            raise StatementStopped(
                f"DROP TABLE {table}: foreign keys of {', '.join(children)} refer to it, and SQLite cannot take "
                f"them from a table; take a fresh snapshot"
            )
        if self.schema.has_heirs(table):
            raise StatementStopped(
                f"DROP TABLE {table}: which of the tables that inherit from it go with it is decided by the "
                f"master; take a fresh snapshot"
            )

    def _rename_tables(self) -> None:
        while True:
            table = self.schema.table(self.table_name())
            self.expect("to")
            self._rename(table, self.table_name())
            if not self.accept_operator(","):
                return

    def _rename(self, table: TableInfo, new: str) -> None:
        kept = kept_for_others(new)
        if kept is not None:
            raise StatementStopped(kept)
        self._execute(f"ALTER TABLE {quote_name(table.name)} RENAME TO {quote_name(new)}")
        self.schema.rename_table(table.name, new)

    def _create_index(self, unique: bool = False) -> None:
        self.accept("concurrently")
        tolerant = self.accept("if", "not", "exists")
        name = "" if self.is_word("on") else self.table_name()
        self.expect("on")
        self.accept("only")
        table = self.schema.table(self.table_name())
        method = self.name() if self.accept("using") else "btree"
        columns = self._index_columns()
        conditional, same_nulls = self._rest_of_index()
        if columns is None or method not in ("btree", "hash") or conditional:
            if unique:
                raise StatementStopped("a unique index over an expression, or with a condition, is not translated")
            return  # it changes no rows, and SQLite has none of that kind
        if unique and same_nulls:
            raise StatementStopped("NULLS NOT DISTINCT: to SQLite NULLs are always distinct")
        name = name or f"{table.name}_{'_'.join(columns)}_idx"
        if self._index_is_there(name):
            if not tolerant:
                raise StatementStopped(f"the index {name} is there already")
            return
        listed = ", ".join(quote_name(table.column(one).name) for one in columns)
        kind = "UNIQUE INDEX" if unique else "INDEX"
        self._execute(f"CREATE {kind} {quote_name(name)} ON {quote_name(table.name)} ({listed})")

    def _create_unique_index(self) -> None:
        self._create_index(unique=True)

    def _index_columns(self) -> list[str] | None:
        """Plain columns; None where there is something else among them."""
        self.expect_operator("(")
        found = []
        while True:
            if self.now.kind not in (TokenKind.WORD, TokenKind.NAME):
                return None
            found.append(self.name())
            while self.is_word("asc", "desc", "nulls", "first", "last"):
                self.step()
            if self.accept_operator(")"):
                return found
            if not self.accept_operator(","):
                return None  # an expression, an operator class or a collation

    def _rest_of_index(self) -> tuple[bool, bool]:
        """Go on to the end; whether the index has a condition, and whether NULLs are the same to it."""
        conditional = same_nulls = False
        while self.now.kind is not TokenKind.END:
            same_nulls = self.accept("nulls", "not", "distinct") or same_nulls
            conditional = self.is_word("where") or conditional
            self.step()
        return conditional, same_nulls

    def _skip_rest(self) -> None:
        while self.now.kind is not TokenKind.END:
            self.step()

    def _index_is_there(self, name: str) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ? COLLATE NOCASE"
        return self.schema.connection.execute(query, (name,)).fetchone() is not None

    def _drop_index(self) -> None:
        self.accept("concurrently")
        self.accept("if", "exists")
        while True:
            name = self.table_name()
            if self._index_is_there(name):  # one that SQLite did not get is not here either
                self._execute(f"DROP INDEX {quote_name(name)}")
            if not self.accept_operator(","):
                break
        self._skip_rest()

    # -- ALTER TABLE ------------------------------------------------------------------------------------------

    def _alter_table(self) -> None:
        tolerant = self.accept("if", "exists")
        self.accept("only")
        name = self.table_name()
        self.accept_operator("*")
        if tolerant and not self.schema.exists(name):
            self._skip_rest()
            return
        while True:
            self.schema.forget()
            name = self._alter_one(self.schema.table(name))
            if not self.accept_operator(","):
                return

    def _alter_one(self, table: TableInfo) -> str:
        """One action; returns the name that the table has then."""
        if self.accept("rename"):
            return self._alter_rename(table)
        if self.accept("add"):
            self._alter_add(table)
        elif self.accept("drop"):
            self._alter_drop(table)
        elif self.accept("alter"):
            self.accept("column")
            self._alter_column(table, table.column(self.name()))
        elif self.is_word(*_HARMLESS_TABLE_SETTINGS):
            self._skip_action()
        elif self.accept("set"):
            self._alter_set()
        else:
            raise StatementStopped(f"ALTER TABLE … {self.now.text.upper()} is not translated")
        return table.name

    def _alter_set(self) -> None:
        if self.is_operator("(") or self.is_word("tablespace", "logged", "unlogged", "access", "without"):
            self._skip_action()
            return
        raise StatementStopped(f"ALTER TABLE … SET {self.now.text.upper()} is not translated")

    def _skip_action(self) -> None:
        depth = 0
        while self.now.kind is not TokenKind.END and not (depth == 0 and self.is_operator(",", ";")):
            token = self.step()
            if token.kind is TokenKind.OPERATOR:
                depth += (token.text == "(") - (token.text == ")")

    def _alter_rename(self, table: TableInfo) -> str:
        if self.accept("to"):
            new = self.table_name()
            self._rename(table, new)
            return new
        if self.accept("constraint"):
            self._skip_action()
            return table.name
        self.accept("column")
        column = table.column(self.name())
        self.expect("to")
        new = self.name()
        self._execute(
            f"ALTER TABLE {quote_name(table.name)} RENAME COLUMN {quote_name(column.name)} TO {quote_name(new)}"
        )
        self._keep(table, [attrs.evolve(one, name=new) if one is column else one for one in table.columns])
        return table.name

    def _alter_add(self, table: TableInfo) -> None:
        named = self.accept("constraint")
        name = self.name() if named else ""
        if self.is_word("primary", "unique", "foreign", "check", "exclude") and (
            named or self.ahead().text in ("(", "key", "using", "nulls")
        ):
            self._add_constraint(table, name)
            return
        self.accept("column")
        if self.accept("if", "not", "exists") and table.has(self.now.text):
            self._skip_action()
            return
        draft = self.column(table.name)
        self._add_column(table, draft)

    def _add_column(self, table: TableInfo, draft: Draft) -> None:
        constant = draft.details.get(CONSTANT)
        if self.constraints or draft.auto or RUNTIME in draft.details or "generated" in draft.details:
            raise StatementStopped(
                f"the rows that are there get values of the column {draft.name} that the master computes, or a "
                f"key over it: this is not translated"
            )
        if not draft.nullable and constant is None:
            if self.schema.connection.execute(f"SELECT 1 FROM {quote_name(table.name)} LIMIT 1").fetchone():
                raise StatementStopped(
                    f"a column {draft.name} that is NOT NULL, without a default, where rows are"
                )
            # SQLite takes no such column at all; that it is never NULL is seen to by the master.
            text = column_ddl(attrs.evolve(draft.info(), nullable=True))
        else:
            text = column_ddl(draft.info())
        self._execute(f"ALTER TABLE {quote_name(table.name)} ADD COLUMN {text}")
        self._keep(table, [*table.columns, draft.info()])

    def _add_constraint(self, table: TableInfo, name: str) -> None:
        if self.accept("check"):
            self._skip_action()
            return
        if self.accept("foreign", "key"):
            self.names()
            self.expect("references")
            before = len(self.constraints)
            self._reference(table.name, [])
            if len(self.constraints) > before:
                raise StatementStopped(
                    "a foreign key that changes rows cannot be added to a table of SQLite: take a fresh snapshot"
                )
            return
        primary = self.accept("primary", "key")
        if not primary:
            self.expect("unique")
            self._nulls()
            if self.is_word("using"):
                raise StatementStopped("UNIQUE USING INDEX is not translated")
        columns = self._key()
        self._timing()
        name = name or f"{table.name}_{'pkey' if primary else '_'.join(columns) + '_key'}"
        listed = ", ".join(quote_name(table.column(one).name) for one in columns)
        self._execute(f"CREATE UNIQUE INDEX {quote_name(name)} ON {quote_name(table.name)} ({listed})")

    def _alter_drop(self, table: TableInfo) -> None:
        if self.accept("constraint"):
            tolerant = self.accept("if", "exists")
            name = self.name()
            self._skip_action()
            if self._index_is_there(name):
                self._execute(f"DROP INDEX {quote_name(name)}")
            elif not tolerant and not self._is_check(table, name):
                raise StatementStopped(
                    f"what the constraint {name} of {table.name} is, is not known here: take a fresh snapshot"
                )
            return
        self.accept("column")
        tolerant = self.accept("if", "exists")
        name = self.name()
        if not self.accept("cascade"):
            self.accept("restrict")
        if self.now.kind is not TokenKind.END and not self.is_operator(",", ";"):
            raise self.unexpected("its end")  # DROP INDEX name, as MySQL has it
        if tolerant and not table.has(name):
            return
        column = table.column(name)
        self._execute(f"ALTER TABLE {quote_name(table.name)} DROP COLUMN {quote_name(column.name)}")
        self._keep(table, [one for one in table.columns if one is not column])

    def _is_check(self, table: TableInfo, name: str) -> bool:
        return any(check.get("name") == name for check in self.schema.objects("check", table.name))

    def _alter_column(self, table: TableInfo, column: ColumnInfo) -> None:
        if self.accept("set", "default"):
            draft = _draft_of(column)
            self.default(draft)
            self._replace(table, column, details=draft.details)
        elif self.accept("drop", "default"):
            details = {key: value for key, value in column.details.items() if key != RUNTIME}
            self._replace(table, column, details={**details, CONSTANT: None}, auto_increment=False)
        elif self.accept("set", "not", "null"):
            self._replace(table, column, nullable=False)
        elif self.accept("drop", "not", "null"):
            if self._is_not_null_here(table, column):
                raise StatementStopped("DROP NOT NULL: SQLite cannot take it from a table; take a fresh snapshot")
            self._replace(table, column, nullable=True)
        elif self.accept("type") or self.accept("set", "data", "type"):
            kind = self._draft(column.name, self.type_name()).type
            if self.is_word("using", "collate") or not _holds_all(column.known, kind):
                raise StatementStopped(
                    f"the values of {column.name} become others at the master, from {column.known.label} to "
                    f"{kind.label}: take a fresh snapshot"
                )
            self._replace(table, column, type=kind)
        elif self.is_word("set", "reset") and self.ahead().text in ("statistics", "storage", "compression", "("):
            self._skip_action()
        else:
            raise StatementStopped(f"ALTER COLUMN … {self.now.text.upper()} is not translated")

    def _is_not_null_here(self, table: TableInfo, column: ColumnInfo) -> bool:
        rows = self.schema.connection.execute(f"PRAGMA table_info({quote_name(table.name)})").fetchall()
        return any(row[1] == column.name and row[3] for row in rows)

    def _replace(self, table: TableInfo, column: ColumnInfo, **changes: Any) -> None:
        new = attrs.evolve(column, **changes)
        self._keep(table, [new if one is column else one for one in table.columns])

    def _keep(self, table: TableInfo, columns: list[ColumnInfo]) -> None:
        self.schema.keep_columns(table.name, columns)


def _draft_of(column: ColumnInfo) -> Draft:
    return Draft(column.name, column.known, column.nullable, column.auto_increment, dict(column.details))


def _holds_all(old: SpgType, new: SpgType) -> bool:
    """Whether a column of the new type holds all values of the old one as they are."""
    if old == new:
        return True
    if family_of(old) is Family.INTEGER and family_of(new) is Family.INTEGER:
        return INTEGER_RANGES.get(new.tag, 0) >= INTEGER_RANGES.get(old.tag, 64)
    if old.tag in (4, 8) and new.tag in (4, 8):
        return new.tag == 4 or (old.tag == 8 and new.parameters[0] >= old.parameters[0])
    return False
